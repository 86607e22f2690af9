/* SPDX-License-Identifier: BSD-2-Clause */
/* world.c - see world.h. The dataplane's double: fake_dataplane.c. */
#include "tests/unit/sa/world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/clock.h"
#include "control/daemon/live.h"
#include "control/daemon/net/net.h"
#include "tests/unit/sa/fake_dataplane.h"

static struct world *worlds[4];

static struct world *world_of(const struct spw_node *node)
{
	for (int i = 0; i < 4; i++)
		if (worlds[i] && &worlds[i]->node == node)
			return worlds[i];
	fail_msg("a node that is in no world");
	return NULL;
}

/* ---- doubles ------------------------------------------------------------------------------ */

int spw_tunnel_publish(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	struct world *world = world_of(node);
	struct spw_tunnel *record = &node->maps.tunnels[tunnel->slot];

	if (tunnel->slot == 0 || tunnel->dying)
		return 0;
	if (world->publish_error)
		return world->publish_error;
	memcpy(record->tx_sa, tunnel->tx_sa, sizeof(record->tx_sa));
	record->local_epoch = tunnel->local_epoch;
	record->peer_epoch = tunnel->peer_epoch;
	return 0;
}

int spw_net_source(struct spw_node *node, const struct spw_tunnel_obj *tunnel,
		   struct spw_endpoint *source)
{
	(void)tunnel;
	*source = (struct spw_endpoint){
		.family = 4, .addr = {127, 0, 0, 1}, .port = node->listen_port};
	return 0;
}

void spw_nexthop_move(struct spw_node *node, struct spw_tunnel_obj *tunnel)
{
	spw_tunnel_publish(node, tunnel);
}

int spw_live_add(struct spw_node *node, const struct spw_endpoint *source)
{
	(void)source;
	world_of(node)->lives++;
	return 0;
}

int spw_live_del(struct spw_node *node, const struct spw_endpoint *source)
{
	(void)source;
	world_of(node)->lives--;
	return 0;
}

void spw_net_glean(struct spw_node *node, uint32_t port, const struct spw_endpoint *host)
{
	(void)port, (void)host;
	world_of(node)->gleans++;
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void do_nothing(evutil_socket_t fd, short events, void *arg)
{
	(void)fd, (void)events, (void)arg;
}

/* One turn of the loop, 1 ms at most, and the grace periods that main.c would run. */
static void turn(struct event_base *loop)
{
	struct timeval time = {.tv_usec = 1000};

	event_base_once(loop, -1, EV_TIMEOUT, do_nothing, NULL, &time);
	event_base_loop(loop, EVLOOP_ONCE);
	for (int i = 0; i < 4; i++)
		if (worlds[i])
			spw_grace_run(worlds[i]->node.grace);
}

bool world_until(struct event_base *loop, bool (*condition)(void *arg), void *arg, int ms)
{
	uint64_t end = spw_now_ms() + (uint64_t)ms;

	while (!condition(arg)) {
		if (spw_now_ms() > end)
			return false;
		turn(loop);
	}
	return true;
}

void world_run(struct event_base *loop, int ms)
{
	uint64_t end = spw_now_ms() + (uint64_t)ms;

	while (spw_now_ms() < end)
		turn(loop);
}

/* ---- the node ----------------------------------------------------------------------------- */

static void *zeroed(size_t cnt, size_t bytes)
{
	void *memory = calloc(cnt, bytes);

	assert_non_null(memory);
	return memory;
}

static void open_maps(struct spw_maps *maps)
{
	maps->created = true;
	assert_int_equal(posix_memalign((void **)&maps->meta, 64, sizeof(*maps->meta)), 0);
	memset(maps->meta, 0, sizeof(*maps->meta));
	maps->meta->epoch = 1;
	maps->meta->tables_id = 4711;
	maps->meta->tunnels_max = maps->meta->tunnel_slots_max = WORLD_TUNNELS_MAX;
	maps->meta->sas_max = WORLD_SAS_MAX;
	assert_int_equal(posix_memalign((void **)&maps->workers, 64,
					SPW_WORKERS_MAX * sizeof(*maps->workers)),
			 0);
	memset(maps->workers, 0, SPW_WORKERS_MAX * sizeof(*maps->workers));
	maps->tunnel_roots = zeroed(WORLD_TUNNELS_MAX, sizeof(*maps->tunnel_roots));
	maps->tunnels = zeroed(WORLD_TUNNELS_MAX, sizeof(*maps->tunnels));
	maps->spis = zeroed(WORLD_SAS_MAX, sizeof(*maps->spis));
	maps->counters =
		zeroed(SPW_WORKERS_MAX * WORLD_TUNNELS_MAX, sizeof(struct spw_tunnel_counters));
	for (int i = 0; i < SPW_MAP_CNT; i++)
		maps->fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Tests of several builds run at once: no port is taken for granted. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	close(fd);
	return ntohs(address.sin_port);
}

void world_open(struct world *world, struct event_base *loop, const char *name, uint32_t workers)
{
	struct spw_node *node = &world->node;

	memset(world, 0, sizeof(*world));
	for (int i = 0; i < 4; i++) {
		if (worlds[i])
			continue;
		worlds[i] = world;
		break;
	}
	strcpy(world->dir, "/tmp/spw-sas-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	strcpy(node->run_dir, world->dir);
	strcpy(node->state_dir, world->dir);
	strcpy(node->name, name);
	node->loop = loop;
	node->listen_port = free_port();
	node->workers = workers;
	node->interfaces_cnt = 1;
	strcpy(node->interfaces[0].ifname, "wan0");
	open_maps(&node->maps);
	assert_int_equal(spw_grace_create(&node->grace, node->maps.meta, node->maps.workers, 64),
			 0);
	node->spi_slots = &world->slots[0];
	node->out_slots = &world->slots[1];
	assert_int_equal(spw_slots_open(node->spi_slots, WORLD_SAS_MAX), 0);
	assert_int_equal(spw_slots_open(node->out_slots, WORLD_SAS_MAX), 0);
	node->tunnels = zeroed(WORLD_TUNNELS_MAX, sizeof(struct spw_tunnel_obj *));
	world->fake = mmap(NULL, sizeof(*world->fake), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(world->fake, MAP_FAILED);
}

void world_close(struct world *world)
{
	struct spw_node *node = &world->node;
	char command[128];

	if (world->dataplane)
		world_dataplane_kill(world);
	if (node->sas)
		world_control_stop(world);
	assert_int_equal(spw_grace_drain(node->grace, 2000), 0);
	spw_grace_destroy(node->grace);
	spw_slots_close(node->spi_slots);
	spw_slots_close(node->out_slots);
	for (uint32_t id = 0; id < WORLD_TUNNELS_MAX; id++)
		free(node->tunnels[id]);
	free(node->tunnels);
	for (int i = 0; i < SPW_MAP_CNT; i++)
		close(node->maps.fd[i]);
	free(node->maps.meta);
	free(node->maps.workers);
	free(node->maps.tunnel_roots);
	free(node->maps.tunnels);
	free(node->maps.spis);
	free(node->maps.counters);
	munmap(world->fake, sizeof(*world->fake));
	snprintf(command, sizeof(command), "rm -rf %s", world->dir);
	assert_int_equal(system(command), 0);
	for (int i = 0; i < 4; i++)
		if (worlds[i] == world)
			worlds[i] = NULL;
}

/* As start.c and adopt.c do: numbers that stand in the tables are taken. */
void world_control_start(struct world *world)
{
	struct spw_node *node = &world->node;
	struct spw_error error = {0};

	if (!node->maps.created) {
		for (uint32_t slot = 1; slot < WORLD_SAS_MAX; slot++)
			if (node->maps.spis[slot].spi)
				spw_slots_mark(node->spi_slots, slot);
		for (uint32_t id = 1; id < WORLD_TUNNELS_MAX; id++) {
			struct spw_tunnel *record = &node->maps.tunnels[id];
			for (uint32_t w = 0; w < SPW_WORKERS_MAX; w++)
				if (record->tx_sa[w])
					spw_slots_mark(node->out_slots, record->tx_sa[w]);
		}
	}
	if (spw_sas_create(node, &error) < 0)
		fail_msg("%s", error.text);
}

void world_control_stop(struct world *world)
{
	struct spw_node *node = &world->node;

	spw_sas_destroy(node);
	assert_int_equal(spw_grace_drain(node->grace, 2000), 0);
	spw_slots_close(node->spi_slots);
	spw_slots_close(node->out_slots);
	assert_int_equal(spw_slots_open(node->spi_slots, WORLD_SAS_MAX), 0);
	assert_int_equal(spw_slots_open(node->out_slots, WORLD_SAS_MAX), 0);
	node->maps.created = false;
}

struct spw_tunnel_obj *world_tunnel(struct world *world, uint32_t id, const char *name,
				    uint16_t remote_port)
{
	struct spw_tunnel_obj *tunnel = zeroed(1, sizeof(*tunnel));
	const struct spw_tunnel *record = &world->node.maps.tunnels[id];

	strcpy(tunnel->name, name);
	tunnel->id = id;
	tunnel->remote =
		(struct spw_endpoint){.family = 4, .addr = {127, 0, 0, 1}, .port = remote_port};
	/* After a restart of control: as adopt.c. */
	tunnel->slot = world->node.maps.tunnel_roots[id].slot;
	if (tunnel->slot) {
		memcpy(tunnel->tx_sa, record->tx_sa, sizeof(tunnel->tx_sa));
		tunnel->local_epoch = record->local_epoch;
		tunnel->peer_epoch = record->peer_epoch;
	}
	world->node.tunnels[id] = tunnel;
	return tunnel;
}

void world_tunnel_free(struct world *world, struct spw_tunnel_obj *tunnel)
{
	world->node.tunnels[tunnel->id] = NULL;
	free(tunnel);
}

void world_publish(struct world *world, struct spw_tunnel_obj *tunnel)
{
	tunnel->slot = tunnel->id;
	world->node.maps.tunnel_roots[tunnel->id].slot = tunnel->slot;
	spw_tunnel_publish(&world->node, tunnel);
}

const char *world_file(struct world *world, const char *name, const char *text)
{
	static char paths[8][128];
	static unsigned int next;
	char *path = paths[next++ % 8];
	int fd;

	snprintf(path, sizeof(paths[0]), "%s/%s", world->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

bool world_state_is(struct world *world, const struct spw_tunnel_obj *tunnel, const char *state)
{
	json_t *out = spw_sas_describe(&world->node, tunnel);
	const char *is = json_string_value(json_object_get(out, "state"));
	bool same = is && strncmp(is, state, strlen(state)) == 0;

	json_decref(out);
	return same;
}

/* ---- the dataplane ------------------------------------------------------------------------ */

void world_dataplane_start(struct world *world)
{
	struct fake *fake = world->fake;

	fake->instance++;
	memset(fake->taken, 0, sizeof(fake->taken));
	world->dataplane = fork();
	assert_true(world->dataplane >= 0);
	if (world->dataplane == 0)
		fake_dataplane_main(fake, world->dir, world->node.workers);
}

static void end_dataplane(struct world *world, int signal)
{
	int status;

	kill(world->dataplane, signal);
	assert_int_equal(waitpid(world->dataplane, &status, 0), world->dataplane);
	world->dataplane = 0;
}

void world_dataplane_kill(struct world *world)
{
	end_dataplane(world, SIGKILL);
}

void world_dataplane_stop(struct world *world)
{
	end_dataplane(world, SIGTERM);
}

void world_dataplane_says(struct world *world, const void *msg, size_t bytes)
{
	struct fake *fake = world->fake;
	uint32_t next = fake->says_cnt % FAKE_LOG_MAX;

	assert_true(bytes <= sizeof(fake->says[0]));
	memcpy(&fake->says[next], msg, bytes);
	fake->says_bytes[next] = (uint32_t)bytes;
	__atomic_store_n(&fake->says_cnt, fake->says_cnt + 1, __ATOMIC_RELEASE);
}

/* ---- what its dataplane was given --------------------------------------------------------- */

const struct spw_msg_sa_add *world_made(const struct world *world, uint32_t direction,
					uint32_t slot)
{
	for (uint32_t i = world->fake->adds_cnt; i-- > 0;)
		if (world->fake->adds[i].direction == direction &&
		    world->fake->adds[i].slot == slot)
			return &world->fake->adds[i];
	return NULL;
}

bool world_sends_to(const struct world *from, const struct spw_tunnel_obj *tunnel,
		    const struct world *to, uint32_t to_tunnel)
{
	for (uint32_t w = 0; w < from->node.workers; w++) {
		const struct spw_msg_sa_add *out, *in;
		uint32_t slot = tunnel->tx_sa[w];
		if (slot == 0 || from->node.maps.tunnels[tunnel->slot].tx_sa[w] != slot)
			return false;
		out = world_made(from, SPW_SA_OUT, slot);
		if (!out || !from->fake->taken[SPW_SA_OUT][slot])
			return false;
		const struct spw_spi *spi = &to->node.maps.spis[SPW_SPI_SLOT(out->spi)];
		if (spi->spi != out->spi || spi->tunnel != to_tunnel)
			return false;
		in = world_made(to, SPW_SA_IN, SPW_SPI_SLOT(out->spi));
		if (!in || !to->fake->taken[SPW_SA_IN][in->slot] || in->spi != out->spi ||
		    memcmp(in->key, out->key, sizeof(in->key)) != 0 ||
		    memcmp(in->salt, out->salt, sizeof(in->salt)) != 0)
			return false;
	}
	return true;
}

void world_check_keys(const struct world *a, const struct world *b)
{
	const struct fake *fakes[2] = {a->fake, b->fake};

	for (int f = 0; f < 2; f++)
		for (uint32_t i = 0; i < fakes[f]->adds_cnt; i++)
			for (uint32_t j = 0; j < i; j++)
				assert_memory_not_equal(fakes[f]->adds[i].key,
							fakes[f]->adds[j].key, 16);
}
