/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pinned tables: made, taken up again, refused, removed. Needs root and a bpf filesystem; is
 * skipped (77) without. Works in a folder of its own beside the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/daemon/tables/maps.h"

static char base[64], dir[128], why[512];
static const struct spw_limits limits = {.tunnels = 10, .tenants = 3, .routes = 100, .workers = 2};

static int open_maps(struct spw_maps *maps, const struct spw_limits *want)
{
	why[0] = '\0';
	int error = spw_maps_open(maps, dir, want, why, sizeof(why));
	if (error) { /* a refusal is a whole sentence, and holds nothing open */
		assert_true(strlen(why) > 20);
		for (int id = 0; id < SPW_MAP_CNT; id++)
			assert_true(maps->fd[id] <= 0 && maps->view[id] == NULL);
	} else {
		assert_string_equal(why, "");
	}
	return error;
}

static void expect_why(const char *part)
{
	if (!strstr(why, part))
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static bool there(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void unpin(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

static int remove_all(void **state)
{
	(void)state;
	return spw_maps_remove(dir, why, sizeof(why));
}

static const char *const names[SPW_MAP_CNT] = {
#define NAME(id, name) #name,
	SPW_MAP_LIST(NAME)
#undef NAME
};

/* ---- making ------------------------------------------------------------------------------- */

static void test_create(void **state)
{
	struct spw_maps maps;
	struct stat st;

	(void)state;
	assert_int_equal(open_maps(&maps, &limits), 0);
	assert_true(maps.created);
	for (int id = 0; id < SPW_MAP_CNT; id++) {
		assert_true(maps.fd[id] > 0);
		assert_true(there(names[id]));
	}
	assert_int_equal(stat(base, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);

	assert_int_equal(maps.meta->layout_version, SPW_LAYOUT_VERSION);
	assert_int_equal(maps.meta->tunnels_max, 11);
	assert_int_equal(maps.meta->tenants_max, 4);
	assert_int_equal(maps.meta->tunnel_slots_max, 10 + 2 + 64);
	assert_int_equal(maps.meta->sas_max, 10 * 2 * 4 + 1);
	assert_int_equal(maps.meta->neighbors_max, SPW_NEIGHBORS_MAX);
	assert_int_equal(maps.meta->epoch, 1);
	assert_true(maps.meta->tables_id != 0);

	/* Every table is as long as meta says: its last record is written and read by the kernel.
	 */
	maps.counters[SPW_WORKERS_MAX * 11 - 1].replays = 7;
	maps.rates[11 + 4 - 1].in_cap = 8;
	maps.route_units[maps.meta->route_units_max - 1].word[3] = 10;
	maps.workers[SPW_WORKERS_MAX - 1].loops = 11;
	struct spw_tunnel_counters counters;
	uint32_t key = SPW_WORKERS_MAX * 11 - 1;
	assert_int_equal(bpf_map_lookup_elem(maps.fd[SPW_MAP_COUNTERS], &key, &counters), 0);
	assert_int_equal(counters.replays, 7);
	key++;
	assert_int_not_equal(bpf_map_lookup_elem(maps.fd[SPW_MAP_COUNTERS], &key, &counters), 0);
	struct spw_worker_row row;
	key = SPW_WORKERS_MAX - 1;
	assert_int_equal(bpf_map_lookup_elem(maps.fd[SPW_MAP_WORKERS], &key, &row), 0);
	assert_int_equal(row.loops, 11);
	struct spw_trie_unit unit;
	key = maps.meta->route_units_max - 1;
	assert_int_equal(bpf_map_lookup_elem(maps.fd[SPW_MAP_ROUTE_UNITS], &key, &unit), 0);
	assert_int_equal(unit.word[3], 10);
	spw_maps_close(&maps);
	spw_maps_close(&maps); /* twice does no harm */
}

static void test_reopen_keeps_everything(void **state)
{
	struct spw_maps maps, again;

	(void)state;
	assert_int_equal(open_maps(&maps, &limits), 0);
	uint64_t tables_id = maps.meta->tables_id;
	maps.meta->epoch = 77;
	maps.tenants[3].route_root[1] = 1234;
	spw_maps_close(&maps);

	assert_int_equal(open_maps(&maps, &limits), 0);
	assert_false(maps.created);
	assert_true(maps.meta->tables_id == tables_id);
	assert_int_equal(maps.meta->epoch, 77);
	assert_int_equal(maps.tenants[3].route_root[1], 1234);

	/* Two that have them open see the same memory. */
	assert_int_equal(open_maps(&again, &limits), 0);
	maps.rates[5].out_cap = 99;
	assert_int_equal(again.rates[5].out_cap, 99);
	spw_maps_close(&again);
	spw_maps_close(&maps);

	assert_int_equal(remove_all(NULL), 0);
	assert_int_equal(open_maps(&maps, &limits), 0);
	assert_true(maps.created);
	assert_true(maps.meta->tables_id != tables_id);
	spw_maps_close(&maps);
}

/* ---- refusing ----------------------------------------------------------------------------- */

static void test_layout_mismatch(void **state)
{
	struct spw_maps maps;
	char says[64];

	(void)state;
	assert_int_equal(open_maps(&maps, &limits), 0);
	maps.meta->layout_version++;
	spw_maps_close(&maps);
	assert_int_equal(open_maps(&maps, &limits), -ESTALE);
	snprintf(says, sizeof(says), "layout version %u, expected %u", SPW_LAYOUT_VERSION + 1,
		 SPW_LAYOUT_VERSION);
	expect_why(says);
	expect_why("--remove");
	assert_true(there("meta")); /* refused, not removed */

	/* Another shape of meta itself. */
	unpin("meta");
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "odd", 4, 64, 1, &opts);
	char path[256];
	snprintf(path, sizeof(path), "%s/meta", dir);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
	assert_int_equal(open_maps(&maps, &limits), -ESTALE);
	expect_why("`meta`");
	expect_why("--remove");
}

static void test_size_mismatch(void **state)
{
	struct spw_maps maps;
	struct spw_limits other;

	(void)state;
	assert_int_equal(open_maps(&maps, &limits), 0);
	spw_maps_close(&maps);
	static const char *const says[] = {"tunnels 10, expected 11", "tenants 3, expected 4",
					   "route units",
					   "SAs (4 x tunnels x workers) 80, expected 120"};
	for (int i = 0; i < 4; i++) {
		other = limits;
		other.tunnels += i == 0;
		other.tenants += i == 1;
		other.routes += i == 2 ? 16 : 0;
		other.workers += i == 3;
		assert_int_equal(open_maps(&maps, &other), -ESTALE);
		expect_why(says[i]);
		expect_why("--remove");
	}
	/* meta is right, a table is not. */
	unpin("rates");
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "odd", 4, sizeof(struct spw_rate), 3, &opts);
	char path[256];
	snprintf(path, sizeof(path), "%s/rates", dir);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
	assert_int_equal(open_maps(&maps, &limits), -ESTALE);
	expect_why("`rates`");
	expect_why("3 entries");
	unpin("rates");
	assert_int_equal(open_maps(&maps, &limits), -ESTALE);
	expect_why("`rates` is missing");
}

static void test_limits_out_of_range(void **state)
{
	static const struct {
		struct spw_limits limits;
		const char *says;
	} bad[] = {
		{{0, 1, 1, 1}, "`tunnels` is 0; expected 1 to"},
		{{1048576, 1, 1, 1}, "`tunnels` is 1048576"},
		{{1, 0, 1, 1}, "`tenants` is 0"},
		{{1, 65536, 1, 1}, "`tenants` is 65536"},
		{{1, 1, 0, 1}, "`routes` is 0"},
		{{1, 1, 8388609, 1}, "`routes` is 8388609"},
		{{1, 1, 1, 0}, "`workers` is 0"},
		{{1, 1, 1, SPW_WORKERS_MAX + 1}, "`workers` is 17"},
		{{65536, 1, 1, 16}, "up to 65535 tunnels"},
	};
	struct spw_maps maps;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(open_maps(&maps, &bad[i].limits), -EINVAL);
		expect_why(bad[i].says);
		assert_false(there(""));
	}
}

static void test_foreign_folder(void **state)
{
	struct spw_maps maps;

	(void)state;
	assert_int_equal(open_maps(&maps, &limits), 0);
	spw_maps_close(&maps);

	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(open_maps(&maps, &limits), -EPERM);
	expect_why("mode 755");
	assert_int_equal(chmod(dir, 0700), 0);
	assert_int_equal(chown(dir, 1, 1), 0);
	assert_int_equal(open_maps(&maps, &limits), -EPERM);
	expect_why("owner 1");
	assert_int_equal(chown(dir, 0, 0), 0);
	assert_int_equal(chown(base, 1, 1), 0);
	assert_int_equal(open_maps(&maps, &limits), -EPERM);
	assert_int_equal(chown(base, 0, 0), 0);
	assert_int_equal(open_maps(&maps, &limits), 0);
	assert_false(maps.created);
	spw_maps_close(&maps);
}

static void test_wrong_place(void **state)
{
	struct spw_maps maps;

	(void)state;
	assert_int_equal(
		spw_maps_open(&maps, "/tmp/spillway-no-such/node", &limits, why, sizeof(why)),
		-ENODEV);
	expect_why("mount -t bpf bpf /sys/fs/bpf");
	assert_int_equal(spw_maps_open(&maps, "node", &limits, why, sizeof(why)), -EINVAL);
	expect_why("absolute path");
}

/* In a mount namespace of its own, where nothing is mounted on /sys/fs/bpf. */
static void test_mounts_bpffs(void **state)
{
	(void)state;
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct spw_maps maps;
		struct statfs fs;
		if (unshare(CLONE_NEWNS) != 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
			_exit(1);
		while (umount2("/sys/fs/bpf", MNT_DETACH) == 0)
			;
		if (statfs("/sys/fs/bpf", &fs) != 0 || (uint32_t)fs.f_type == BPF_FS_MAGIC)
			_exit(2);
		if (spw_maps_open(&maps, dir, &limits, why, sizeof(why)) != 0 || !maps.created)
			_exit(3);
		if (statfs("/sys/fs/bpf", &fs) != 0 || (uint32_t)fs.f_type != BPF_FS_MAGIC)
			_exit(4);
		spw_maps_close(&maps);
		_exit(spw_maps_remove(dir, why, sizeof(why)) != 0);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(access(dir, F_OK), -1); /* the host's was not touched */
}

/* ---- half made, removed ------------------------------------------------------------------- */

static void test_half_made_is_redone(void **state)
{
	struct spw_maps maps;

	(void)state;
	assert_int_equal(open_maps(&maps, &limits), 0);
	uint64_t tables_id = maps.meta->tables_id;
	maps.tenants[1].route_root[0] = 5;
	spw_maps_close(&maps);
	unpin("meta");
	unpin("ports");
	assert_int_equal(open_maps(&maps, &limits), 0);
	assert_true(maps.created);
	assert_true(maps.meta->tables_id != tables_id);
	assert_int_equal(maps.tenants[1].route_root[0], 0);
	spw_maps_close(&maps);
	assert_int_equal(open_maps(&maps, &limits), 0);
	assert_false(maps.created);
	spw_maps_close(&maps);
}

static void test_remove(void **state)
{
	struct spw_maps maps;
	char path[256], other[256];

	(void)state;
	assert_int_equal(spw_maps_remove(dir, why, sizeof(why)), 0); /* nothing there */
	assert_int_equal(open_maps(&maps, &limits), 0);
	snprintf(other, sizeof(other), "%s/other", base);
	assert_int_equal(mkdir(other, 0700), 0);
	/* Other pins of the node: the classifier's own maps and its links. */
	snprintf(path, sizeof(path), "%s/classifier_counters", dir);
	assert_int_equal(bpf_obj_pin(maps.fd[SPW_MAP_RATES], path), 0);
	snprintf(path, sizeof(path), "%s/link_eth0", dir);
	assert_int_equal(bpf_obj_pin(maps.fd[SPW_MAP_RATES], path), 0);
	spw_maps_close(&maps);
	assert_int_equal(spw_maps_remove(dir, why, sizeof(why)), 0);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(access(other, F_OK), 0); /* of another node, which is the last one now */
	assert_int_equal(spw_maps_remove(other, why, sizeof(why)), 0);
	assert_int_equal(access(base, F_OK), -1);

	/* Something that is no pin: said, and the folder stays. */
	assert_int_equal(mkdir(base, 0700), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/inner", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	why[0] = '\0';
	assert_true(spw_maps_remove(dir, why, sizeof(why)) < 0);
	expect_why(dir);
	assert_int_equal(rmdir(path), 0);
}

static void test_pin_dir(void **state)
{
	char path[64];

	(void)state;
	assert_int_equal(spw_maps_pin_dir("relay", path, sizeof(path)), 0);
	assert_string_equal(path, "/sys/fs/bpf/spillway/relay");
	setenv("SPW_BPFFS_DIR", base, 1);
	assert_int_equal(spw_maps_pin_dir("n1", path, sizeof(path)), 0);
	assert_int_equal(strncmp(path, base, strlen(base)), 0);
	unsetenv("SPW_BPFFS_DIR");
	assert_int_equal(spw_maps_pin_dir("", path, sizeof(path)), -EINVAL);
	assert_int_equal(spw_maps_pin_dir("..", path, sizeof(path)), -EINVAL);
	assert_int_equal(spw_maps_pin_dir("a/b", path, sizeof(path)), -EINVAL);
	assert_int_equal(spw_maps_pin_dir("relay", path, 10), -ENAMETOOLONG);
}

int main(void)
{
	struct statfs fs;

	unsetenv("SPW_BPFFS_DIR");
	if (geteuid() != 0 || statfs("/sys/fs/bpf", &fs) != 0 ||
	    (uint32_t)fs.f_type != BPF_FS_MAGIC) {
		fprintf(stderr, "skipped: needs root and a bpf filesystem on /sys/fs/bpf\n");
		return 77;
	}
	snprintf(base, sizeof(base), "/sys/fs/bpf/spillway-unit-%d", (int)getpid());
	snprintf(dir, sizeof(dir), "%s/node", base);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_create, remove_all),
		cmocka_unit_test_teardown(test_reopen_keeps_everything, remove_all),
		cmocka_unit_test_teardown(test_layout_mismatch, remove_all),
		cmocka_unit_test_teardown(test_size_mismatch, remove_all),
		cmocka_unit_test_teardown(test_limits_out_of_range, remove_all),
		cmocka_unit_test_teardown(test_foreign_folder, remove_all),
		cmocka_unit_test_teardown(test_wrong_place, remove_all),
		cmocka_unit_test_teardown(test_mounts_bpffs, remove_all),
		cmocka_unit_test_teardown(test_half_made_is_redone, remove_all),
		cmocka_unit_test_teardown(test_remove, remove_all),
		cmocka_unit_test_teardown(test_pin_dir, remove_all),
	};
	return cmocka_run_group_tests_name("tables_maps", tests, NULL, NULL);
}
