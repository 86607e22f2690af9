/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flood_esp.h - frames with ESP for flood.c, each with a sequence number of its own and sealed
 * before the flood begins: a node takes no packet twice.
 *
 * The caller owns all memory. One thread, before the flood.
 */
#ifndef SPW_FLOOD_ESP_H
#define SPW_FLOOD_ESP_H

#include <stdint.h>

/* Writes `cnt` frames, `stride` bytes apart: copies of `frame`, which is Ethernet, IPv4 without
 * options, UDP, ESP with an IV of 8 bytes, text in clear, trailer, and room for the ICV. key_hex:
 * 40 digits, key and salt, as in key files. The first frame has sequence number `first`. Returns 0
 * or a negative errno. */
int flood_esp_seal(uint8_t *frames, uint32_t stride, uint32_t cnt, const uint8_t *frame,
		   uint32_t bytes, const char *key_hex, uint64_t first);

#endif
