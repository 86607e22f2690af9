/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bytes.h - the headers of a packet as bytes: lengths, numbers, and words loaded and stored where
 * they stand, for BPF and native code.
 *
 * The words stand at any address and come as they are on the wire (the _be of the names): both
 * targets, x86-64 and bpfel, are little-endian, so spw_be16 to spw_be64 turn them round, in either
 * direction. The caller has checked that the bytes are there. Any thread.
 */
#ifndef SPW_BYTES_H
#define SPW_BYTES_H

#include <linux/types.h>
#include <stdbool.h>

#define SPW_ETHER_BYTES 14u
#define SPW_VLAN_BYTES 4u
#define SPW_IPV4_BYTES 20u /* without options */
#define SPW_IPV6_BYTES 40u
#define SPW_UDP_BYTES 8u

#define SPW_ETHERTYPE_IPV4 0x0800u
#define SPW_ETHERTYPE_IPV6 0x86ddu
#define SPW_ETHERTYPE_VLAN 0x8100u

#define SPW_PROTO_IPV4 4u
#define SPW_PROTO_UDP 17u
#define SPW_PROTO_IPV6 41u
#define SPW_PROTO_NONE 59u

#define spw_be16(word) __builtin_bswap16(word)
#define spw_be32(word) __builtin_bswap32(word)
#define spw_be64(word) __builtin_bswap64(word)

#ifdef __bpf__

/* One load each: the machines that run XDP read words at any address, and the verifier lets them.
 * By memcpy clang would take a load for every byte. */
#define SPW_BYTES_ACCESS(bits)                                                                     \
	static __always_inline __u##bits spw_load##bits(const void *at)                            \
	{                                                                                          \
		return *(const __u##bits *)at;                                                     \
	}                                                                                          \
	static __always_inline void spw_store##bits(void *at, __u##bits word)                      \
	{                                                                                          \
		*(__u##bits *)at = word;                                                           \
	}

#else

#include <string.h>
#include <sys/cdefs.h> /* __always_inline */

#define SPW_BYTES_ACCESS(bits)                                                                     \
	static __always_inline __u##bits spw_load##bits(const void *at)                            \
	{                                                                                          \
		__u##bits word;                                                                    \
		memcpy(&word, at, sizeof(word));                                                   \
		return word;                                                                       \
	}                                                                                          \
	static __always_inline void spw_store##bits(void *at, __u##bits word)                      \
	{                                                                                          \
		memcpy(at, &word, sizeof(word));                                                   \
	}

#endif

SPW_BYTES_ACCESS(16)
SPW_BYTES_ACCESS(32)
SPW_BYTES_ACCESS(64)
#undef SPW_BYTES_ACCESS

#endif
