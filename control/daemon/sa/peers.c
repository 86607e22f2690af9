/* SPDX-License-Identifier: BSD-2-Clause */
/* peers.c - see peers.h: the node's key, its peers and their lives. */
#include "control/daemon/sa/peers.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/base64.h"
#include "control/clock.h"
#include "control/daemon/live.h"
#include "control/daemon/log.h"
#include "control/daemon/net/net.h"
#include "control/daemon/sa/sets.h"

static const struct spw_place nowhere;

/* How long packets of SAs that an earlier control left may be under way after the peer has changed
 * to a new session: far more than any path's reordering. */
#define LATE_SECONDS 2
#define POLL_SECONDS 1

uint64_t spw_boot_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void spw_endpoint_map(const struct spw_endpoint *endpoint, uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(address, endpoint->addr, 16);
	if (endpoint->family == 4) {
		memcpy(address, mapped, sizeof(mapped));
		memcpy(address + sizeof(mapped), endpoint->addr, 4);
	}
}

/* ---- time --------------------------------------------------------------------------------- */

void spw_peer_arm(struct spw_tunnel_sas *entry)
{
	uint64_t now_ms = spw_boot_ms(), at_ms = spw_sessions_deadline(&entry->peer->sessions);
	uint64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
	struct timeval time = {.tv_sec = (time_t)(wait_ms / 1000),
			       .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};

	if (at_ms == UINT64_MAX)
		evtimer_del(entry->peer->timer);
	else
		evtimer_add(entry->peer->timer, &time);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
	struct spw_tunnel_sas *entry = arg;

	(void)fd, (void)events;
	spw_sessions_tick(&entry->peer->sessions, spw_boot_ms());
	spw_peer_arm(entry);
}

static void on_late(evutil_socket_t fd, short events, void *arg)
{
	struct spw_tunnel_sas *entry = arg;

	(void)fd, (void)events;
	spw_sets_retire_before(entry, entry->peer->former + 1);
}

static void read_traffic(const struct spw_tunnel_sas *entry, struct spw_sessions_traffic *sum)
{
	const struct spw_node *node = entry->sas->node;
	const struct spw_maps *maps = &node->maps;

	*sum = (struct spw_sessions_traffic){0};
	for (uint32_t worker = 0; worker < node->workers; worker++) {
		const struct spw_tunnel_counters *row =
			&maps->counters[worker * maps->meta->tunnels_max + entry->tunnel->id];
		sum->tx_packets += __atomic_load_n(&row->tx_packets, __ATOMIC_RELAXED);
		sum->tx_bytes += __atomic_load_n(&row->tx_bytes, __ATOMIC_RELAXED);
		sum->rx_packets += __atomic_load_n(&row->rx_packets, __ATOMIC_RELAXED);
		sum->rx_bytes += __atomic_load_n(&row->rx_bytes, __ATOMIC_RELAXED);
	}
}

static void on_poll(evutil_socket_t fd, short events, void *arg)
{
	struct spw_peers *peers = arg;
	struct spw_sessions_traffic traffic;
	uint64_t now_ms = spw_boot_ms();

	(void)fd, (void)events;
	for (struct spw_tunnel_sas *entry = peers->sas->all; entry; entry = entry->next) {
		if (!entry->started || !entry->peer)
			continue;
		read_traffic(entry, &traffic);
		spw_sessions_traffic(&entry->peer->sessions, &traffic, now_ms);
		spw_peer_arm(entry);
	}
}

/* ---- the node's key ----------------------------------------------------------------------- */

static int read_identity(struct spw_peers *peers, struct spw_error *error)
{
	struct spw_keys *keys = peers->sas->keys;
	const char *path = peers->sas->node->key_file;
	uint8_t *private_key = spw_keys_alloc(keys);
	int err = -ENOSPC;

	if (private_key)
		err = spw_key32_file_read(keys, path, private_key, NULL, nowhere, error);
	if (err == 0)
		err = spw_noise_identity_init(peers->identity, private_key);
	spw_keys_free(keys, private_key);
	return err < 0 ? spw_error_set(error, err, nowhere, "key_file: %s: %s", path,
				       strerror(-err))
		       : 0;
}

int spw_peers_open(struct spw_sas *sas, struct spw_error *error)
{
	struct spw_peers *peers = calloc(1, sizeof(*peers));
	struct timeval time = {.tv_sec = POLL_SECONDS};
	int err = -ENOMEM;

	if (!peers)
		return spw_error_set(error, err, nowhere, "no memory for the node's peers");
	sas->peers = peers;
	peers->sas = sas;
	peers->identity = spw_keys_alloc(sas->keys);
	peers->answering = spw_keys_alloc(sas->keys);
	peers->cookie_secret = spw_keys_alloc(sas->keys);
	peers->poll = event_new(sas->node->loop, -1, EV_PERSIST, on_poll, peers);
	if (!peers->identity || !peers->answering || !peers->cookie_secret || !peers->poll ||
	    event_add(peers->poll, &time) < 0)
		return spw_error_set(error, err, nowhere, "no memory for the node's peers");
	err = spw_stamps_open(sas->node->loop, sas->node->state_dir,
			      2 * sas->node->maps.meta->tunnels_max, &peers->stamps);
	if (err < 0)
		return spw_error_set(error, err, nowhere, "no memory for the peers' time stamps");
	return read_identity(peers, error);
}

void spw_peers_close(struct spw_sas *sas)
{
	struct spw_peers *peers = sas->peers;

	if (!peers)
		return;
	if (peers->poll)
		event_free(peers->poll);
	spw_stamps_close(peers->stamps);
	free(peers); /* the cells go with all others */
	sas->peers = NULL;
}

/* ---- peers -------------------------------------------------------------------------------- */

static struct spw_tunnel_sas **bucket_of(struct spw_peers *peers, const uint8_t *key)
{
	uint16_t hash;

	memcpy(&hash, key, sizeof(hash));
	return &peers->by_key[hash % SPW_PEER_BUCKETS];
}

struct spw_tunnel_sas *spw_peer_find(struct spw_peers *peers,
				     const uint8_t key[SPW_PUBLIC_KEY_BYTES])
{
	struct spw_tunnel_sas *entry = *bucket_of(peers, key);

	while (entry && memcmp(entry->peer->noise->public_key, key, SPW_PUBLIC_KEY_BYTES) != 0)
		entry = entry->peer->bucket_next;
	return entry;
}

static void free_peer(struct spw_tunnel_sas *entry)
{
	struct spw_peer *peer = entry->peer;
	struct spw_keys *keys = entry->sas->keys;

	if (peer->timer)
		event_free(peer->timer);
	if (peer->late)
		event_free(peer->late);
	spw_keys_free(keys, peer->noise);
	spw_keys_free(keys, peer->handshake);
	free(peer);
	entry->peer = NULL;
}

static int read_keys(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
		     struct spw_place place, struct spw_error *error)
{
	const struct spw_noise_identity *identity = entry->sas->peers->identity;
	const char *name = entry->tunnel->name;
	uint8_t *psk = spw_keys_alloc(entry->sas->keys);
	int err = 0;

	if (!psk)
		return spw_error_set(error, -ENOSPC, place,
				     "tunnel \"%s\": no locked memory is left for its keys", name);
	if (memcmp(spec->peer_key, identity->pair.public_key, SPW_PUBLIC_KEY_BYTES) == 0)
		err = spw_error_set(error, -EINVAL, place,
				    "tunnel \"%s\": `peer` is this node's own public key; expected "
				    "the one that `spillway key public` prints for the other node",
				    name);
	if (err == 0 && spec->psk_file)
		err = spw_key32_file_read(entry->sas->keys, spec->psk_file, psk, name, place,
					  error);
	if (err == 0) {
		err = spw_noise_peer_init(entry->peer->noise, identity, spec->peer_key, psk);
		if (err < 0)
			spw_error_set(error, err, place,
				      "tunnel \"%s\": `peer` is no key that can be used: nobody "
				      "has the private key to it",
				      name);
	}
	spw_keys_free(entry->sas->keys, psk);
	return err;
}

int spw_peer_prepare(struct spw_tunnel_sas *entry, const struct spw_tunnel_spec *spec,
		     struct spw_place place, struct spw_error *error)
{
	struct spw_sas *sas = entry->sas;
	struct spw_tunnel_sas **bucket;
	struct spw_peer *peer;
	uint32_t seed;
	int err;

	if (!sas->peers)
		return spw_error_set(error, -ENOKEY, place,
				     "tunnel \"%s\": the node has no key of its own; make one with "
				     "`spillway key generate FILE`, name it as `key_file` in "
				     "config.yaml and start the node anew",
				     entry->tunnel->name);
	peer = entry->peer = calloc(1, sizeof(*peer));
	if (peer) {
		peer->noise = spw_keys_alloc(sas->keys);
		peer->handshake = spw_keys_alloc(sas->keys);
		peer->timer = evtimer_new(sas->node->loop, on_timer, entry);
		peer->late = evtimer_new(sas->node->loop, on_late, entry);
	}
	if (!peer || !peer->noise || !peer->handshake || !peer->timer || !peer->late ||
	    RAND_bytes((uint8_t *)&seed, sizeof(seed)) != 1)
		err = spw_error_set(error, -ENOMEM, place, "tunnel \"%s\": no memory for its SAs",
				    entry->tunnel->name);
	else
		err = read_keys(entry, spec, place, error);
	if (err < 0) {
		if (peer)
			free_peer(entry);
		return err;
	}
	peer->key256 = spec->key_bits == 32;
	spw_sessions_init(&peer->sessions, &spw_session_ops, entry,
			  memcmp(sas->peers->identity->pair.public_key, spec->peer_key,
				 SPW_PUBLIC_KEY_BYTES) > 0,
			  seed);
	entry->sets.answered = spw_session_answered;
	spw_sets_adopt(entry);
	bucket = bucket_of(sas->peers, spec->peer_key);
	peer->bucket_next = *bucket;
	*bucket = entry;
	return 0;
}

void spw_peer_free(struct spw_tunnel_sas *entry)
{
	struct spw_tunnel_sas **at = bucket_of(entry->sas->peers, entry->peer->noise->public_key);

	while (*at && *at != entry)
		at = &(*at)->peer->bucket_next;
	if (*at)
		*at = entry->peer->bucket_next;
	free_peer(entry);
}

/* ---- life --------------------------------------------------------------------------------- */

void spw_peer_ready(struct spw_tunnel_sas *entry)
{
	spw_sessions_set_initiate(&entry->peer->sessions, entry->tunnel->remote.family != 0);
	spw_sessions_start(&entry->peer->sessions, spw_boot_ms());
	spw_peer_arm(entry);
}

void spw_peer_lost(struct spw_tunnel_sas *entry)
{
	struct spw_peer *peer = entry->peer;

	/* What stands goes on until a new session has replaced it, or the dataplane ends it. */
	spw_sessions_stop(&peer->sessions);
	peer->former = peer->sessions.serial;
	spw_peer_arm(entry);
	evtimer_del(peer->late);
	peer->sending = peer->heard = peer->heard_waiting = 0;
	spw_sets_leave_all(entry);
	spw_peer_follow_live(entry);
}

void spw_peer_reset(struct spw_tunnel_sas *entry)
{
	spw_peer_lost(entry);
	spw_sets_reset(entry);
}

void spw_peer_stop(struct spw_tunnel_sas *entry)
{
	spw_peer_lost(entry);
	spw_session_offer_free(entry);
	spw_sets_stop(entry);
	spw_peer_free(entry);
}

void spw_peer_rekey(struct spw_tunnel_sas *entry)
{
	spw_sessions_rekey(&entry->peer->sessions, spw_boot_ms());
	spw_peer_arm(entry);
}

/* ---- what the dataplane hears ------------------------------------------------------------- */

void spw_peer_move(struct spw_tunnel_sas *entry, const struct spw_endpoint *endpoint)
{
	struct spw_tunnel_obj *tunnel = entry->tunnel;
	char text[64];

	if (spw_endpoint_equal(&tunnel->remote, endpoint))
		return;
	spw_endpoint_format(endpoint, text, sizeof(text));
	spw_log("info", "session", "tunnel %s: the peer is at %s", tunnel->name, text);
	tunnel->remote = *endpoint;
	spw_nexthop_move(entry->sas->node, tunnel);
	spw_sessions_set_initiate(&entry->peer->sessions, true);
	spw_peer_follow_live(entry);
	spw_peer_arm(entry);
}

void spw_peer_follow_live(struct spw_tunnel_sas *entry)
{
	struct spw_node *node = entry->sas->node;
	struct spw_peer *peer = entry->peer;
	struct spw_endpoint wanted = {0};

	if (peer->sending)
		wanted = entry->tunnel->remote;
	wanted.port = 0;
	if (spw_endpoint_equal(&peer->live, &wanted))
		return;
	/* Where there is no room just now, sas.c comes back to it. */
	if (peer->live.family && spw_live_del(node, &peer->live) < 0) {
		spw_sas_retry_soon(entry->sas);
		return;
	}
	peer->live = (struct spw_endpoint){0};
	if (!wanted.family)
		return;
	if (spw_live_add(node, &wanted) == 0)
		peer->live = wanted;
	else
		spw_sas_retry_soon(entry->sas);
}

static void take_heard(struct spw_tunnel_sas *entry, uint32_t serial)
{
	struct spw_peer *peer = entry->peer;
	struct timeval time = {.tv_sec = LATE_SECONDS};

	spw_sessions_heard(&peer->sessions, serial, spw_boot_ms());
	spw_peer_arm(entry);
	if (!evtimer_pending(peer->late, NULL))
		evtimer_add(peer->late, &time);
}

void spw_peer_heard(struct spw_tunnel_sas *entry, const struct spw_sa_set *set)
{
	struct spw_peer *peer = entry->peer;

	if (set->serial == 0 || set->serial < peer->heard)
		return;
	peer->heard = set->serial;
	/* The same packet tells where the peer is, in the next message: until then nothing can be
	 * sent there. */
	if (entry->tunnel->remote.family == 0)
		peer->heard_waiting = set->serial;
	else
		take_heard(entry, set->serial);
}

void spw_peer_roamed(struct spw_tunnel_sas *entry, const struct spw_sa_set *set,
		     const struct spw_endpoint *source)
{
	struct spw_peer *peer = entry->peer;
	uint32_t waiting = peer->heard_waiting;

	/* Packets of an earlier session may still come from where the peer was before. */
	if (set->serial < peer->heard)
		return;
	spw_peer_move(entry, source);
	peer->heard_waiting = 0;
	if (waiting)
		take_heard(entry, waiting);
}

/* ---- description -------------------------------------------------------------------------- */

static json_t *describe_failures(const struct spw_failures *failures)
{
	static const char *const names[] = {
#define SPW_FAILURE_NAME(id, name) [SPW_FAILURE_##id] = #name,
		SPW_HANDSHAKE_FAILURES(SPW_FAILURE_NAME)
#undef SPW_FAILURE_NAME
	};
	json_t *out = json_object();

	for (uint32_t i = 0; i < SPW_FAILURE_CNT; i++)
		json_object_set_new(out, names[i], json_integer((json_int_t)failures->cnt[i]));
	return out;
}

static const char *state_text(const struct spw_tunnel_sas *entry)
{
	static const char *const texts[] = {
		[SPW_SESSIONS_STOPPED] = "waiting for the dataplane",
		[SPW_SESSIONS_NO_ENDPOINT] = "waiting for the peer",
		[SPW_SESSIONS_HANDSHAKING] = "shaking hands with the peer",
		[SPW_SESSIONS_UP] = "up",
		[SPW_SESSIONS_SILENT] = "up, but the peer is silent",
	};
	enum spw_sessions_state state = spw_sessions_state(&entry->peer->sessions);

	/* After a restart of control: SAs of before carry packets until a new session does, or
	 * until the dataplane ends them. */
	if ((state == SPW_SESSIONS_NO_ENDPOINT || state == SPW_SESSIONS_HANDSHAKING) &&
	    entry->tunnel->tx_sa[0] &&
	    spw_now_ns() - entry->sas->node->started_ns <
		    SPW_SESSION_REJECT_AFTER_MS * UINT64_C(1000000))
		return "up";
	return texts[state];
}

static bool endpoint_learned(const struct spw_tunnel_sas *entry)
{
	struct spw_endpoint configured = entry->tunnel->spec.remote;

	if (configured.port == 0)
		configured.port = entry->sas->node->listen_port;
	return entry->tunnel->remote.family &&
	       !spw_endpoint_equal(&entry->tunnel->remote, &configured);
}

void spw_peer_describe(const struct spw_tunnel_sas *entry, json_t *out)
{
	const struct spw_tunnel_obj *tunnel = entry->tunnel;
	struct spw_sessions_status status;
	char key[SPW_KEY_CHARS + 1], endpoint[64];

	spw_sessions_status(&entry->peer->sessions, spw_boot_ms(), &status);
	spw_key_encode(entry->peer->noise->public_key, key);
	spw_endpoint_format(&tunnel->remote, endpoint, sizeof(endpoint));
	json_object_set_new(out, "keying", json_string("session"));
	json_object_set_new(out, "state", json_string(state_text(entry)));
	json_object_set_new(out, "peer", json_string(key));
	json_object_set_new(out, "endpoint",
			    tunnel->remote.family ? json_string(endpoint) : json_null());
	json_object_set_new(out, "endpoint_learned", json_boolean(endpoint_learned(entry)));
	json_object_set_new(out, "handshake_age_s",
			    status.shaken ? json_integer((json_int_t)(status.handshake_ms / 1000))
					  : json_null());
	json_object_set_new(out, "rekeys", json_integer(status.rekeys));
	json_object_set_new(out, "tries", json_integer(status.tries));
	json_object_set_new(out, "failures", describe_failures(&entry->peer->failures));
	spw_sets_describe(entry, out);
}

json_t *spw_handshakes_describe(struct spw_node *node)
{
	const struct spw_peers *peers = node->sas ? node->sas->peers : NULL;
	char key[SPW_KEY_CHARS + 1];

	if (!peers)
		return json_null();
	spw_key_encode(peers->identity->pair.public_key, key);
	return json_pack("{s:s, s:I, s:o}", "public_key", key, "cookies_sent",
			 (json_int_t)peers->cookies_sent, "failures",
			 describe_failures(&peers->failures));
}
