/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aead_provider.h - what a provider is to aead_choice.c. Main thread only.
 */
#ifndef SPW_AEAD_PROVIDER_H
#define SPW_AEAD_PROVIDER_H

#include "dataplane/stages/aead.h"

struct spw_aead_provider {
	const char *name;
	/* Makes it usable for so many workers; may be called again, with more. 0 or a negative
	 * errno; then, and where it works but not as it should, `why` says what is the matter. */
	int (*load)(uint32_t workers, char *why, unsigned int why_bytes);
	/* As in aead.h. The worker was loaded, key_bytes is 16 or 32. */
	bool (*init)(struct spw_aead *aead, uint32_t worker, const uint8_t *key, uint32_t key_bytes,
		     bool encrypt);
	void (*fini)(struct spw_aead *aead);
	/* Sets spw_aead_layout.pieces. */
	void (*learn_pieces)(uint32_t pieces[SPW_AEAD_STEPS]);
	size_t key_bytes; /* of spw_aead_layout */
};

#define SPW_AEAD_OPENSSL_BYTES 1408u

extern const struct spw_aead_provider spw_aead_openssl, spw_aead_ipsec_mb;

#endif
