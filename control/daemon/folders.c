/* SPDX-License-Identifier: BSD-2-Clause */
/* folders.c - see folders.h. */
#include "control/daemon/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/handover.h"

#define GROUP_NAME "spillway"
#define RUN_VARIABLE "SPW_RUN_DIR"
#define RUN_BASE "/run/spillway"

static const struct spw_place nowhere;

static const char *base_folder(const char *variable, const char *base)
{
	const char *value = getenv(variable);

	return value && *value ? value : base;
}

static int name_folder(char *path, size_t path_bytes, const char *variable, const char *base,
		       const char *node, struct spw_error *error)
{
	const char *value = base_folder(variable, base);

	if ((size_t)snprintf(path, path_bytes, "%s/%s", value, node) < path_bytes)
		return 0;
	return spw_error_set(error, -ENAMETOOLONG, nowhere,
			     "%s/%s is too long; expected at most %zu characters (%s)", value, node,
			     path_bytes - 1, variable);
}

int spw_folders_name(struct spw_node *node, struct spw_error *error)
{
	int err = name_folder(node->run_dir, sizeof(node->run_dir), RUN_VARIABLE, RUN_BASE,
			      node->name, error);

	if (err == 0)
		err = name_folder(node->state_dir, sizeof(node->state_dir), "SPW_STATE_DIR",
				  "/var/lib/spillway", node->name, error);
	if (err < 0)
		return err;
	err = spw_maps_pin_dir(node->name, node->pin_dir, sizeof(node->pin_dir));
	if (err < 0)
		spw_error_set(error, err, nowhere, "no folder for the tables of node \"%s\": %s",
			      node->name, strerror(-err));
	return err;
}

void spw_folders_standing(char *names, size_t names_bytes)
{
	DIR *base = opendir(base_folder(RUN_VARIABLE, RUN_BASE));
	const struct dirent *entry;
	size_t used = 0;

	names[0] = '\0';
	while (base && used < names_bytes && (entry = readdir(base))) {
		char journal[sizeof(entry->d_name) + 16];
		snprintf(journal, sizeof(journal), "%s/journal", entry->d_name);
		if (entry->d_name[0] != '.' && faccessat(dirfd(base), journal, F_OK, 0) == 0)
			used += (size_t)snprintf(names + used, names_bytes - used, "%s%s",
						 used ? ", " : "", entry->d_name);
	}
	if (base)
		closedir(base);
}

/* Makes the folders above, as anyone's. */
static int make_parents(const char *path)
{
	char part[PATH_MAX];
	char *slash;

	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static int make_folder(const char *path, gid_t group, mode_t mode, struct spw_error *error)
{
	struct stat stat;
	int fd, err = make_parents(path);

	if (err == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
		err = -errno;
	fd = err < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (err == 0 && (fd < 0 || fstat(fd, &stat) < 0))
		err = -errno;
	if (err < 0)
		spw_error_set(error, err, nowhere, "cannot make %s: %s", path, strerror(-err));
	else if (stat.st_uid != geteuid() || (stat.st_mode & 067))
		err = spw_error_set(error, -EPERM, nowhere,
				    "%s belongs to user %u and has mode %04o; expected user %u and "
				    "0700: remove it or correct it",
				    path, stat.st_uid, stat.st_mode & 07777, geteuid());
	else if (group != (gid_t)-1 && (fchown(fd, (uid_t)-1, group) < 0 || fchmod(fd, mode) < 0))
		err = spw_error_set(error, -errno, nowhere, "cannot give %s to group %s: %s", path,
				    GROUP_NAME, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

int spw_folders_make(struct spw_node *node, struct spw_error *error)
{
	const struct group *group = getgrnam(GROUP_NAME);
	int err = make_folder(node->run_dir, group ? group->gr_gid : (gid_t)-1, 0710, error);

	return err < 0 ? err : make_folder(node->state_dir, (gid_t)-1, 0700, error);
}

int spw_folders_lock(struct spw_node *node, struct spw_error *error)
{
	char path[128], pid[16] = "";
	int fd, err;

	snprintf(path, sizeof(path), "%s/lock", node->run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return spw_error_set(error, -errno, nowhere, "cannot open %s: %s", path,
				     strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		int bytes = snprintf(pid, sizeof(pid), "%d\n", getpid());
		if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)bytes, 0) == bytes)
			return fd;
	}
	err = -errno;
	if (err == -EWOULDBLOCK) {
		if (pread(fd, pid, sizeof(pid) - 1, 0) > 0)
			pid[strcspn(pid, "\n")] = '\0';
		spw_error_set(error, -EBUSY, nowhere,
			      "another control of node \"%s\" runs, with pid %s; stop it first",
			      node->name, pid);
		err = -EBUSY;
	} else {
		spw_error_set(error, err, nowhere, "cannot lock %s: %s", path, strerror(-err));
	}
	close(fd);
	return err;
}

bool spw_folders_dataplane_lives(const struct spw_node *node)
{
	char path[128];
	bool lives;
	int fd;

	snprintf(path, sizeof(path), "%s/" SPW_HANDOVER_LOCK, node->run_dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT;
	lives = flock(fd, LOCK_EX | LOCK_NB) < 0;
	close(fd);
	return lives;
}

int spw_folders_remove_run(struct spw_node *node, struct spw_error *error)
{
	DIR *folder = opendir(node->run_dir);
	struct dirent *entry;
	int err = 0;

	if (!folder)
		return errno == ENOENT ? 0
				       : spw_error_set(error, -errno, nowhere, "cannot read %s: %s",
						       node->run_dir, strerror(errno));
	while ((entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(folder), entry->d_name, 0) < 0)
			err = spw_error_set(error, -errno, nowhere, "cannot remove %s/%s: %s",
					    node->run_dir, entry->d_name, strerror(errno));
	}
	closedir(folder);
	if (err == 0 && rmdir(node->run_dir) < 0)
		err = spw_error_set(error, -errno, nowhere, "cannot remove %s: %s", node->run_dir,
				    strerror(errno));
	return err;
}
