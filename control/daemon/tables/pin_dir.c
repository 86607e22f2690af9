/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon/tables/pin_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "control/daemon/tables/maps.h"

#define BPFFS "/sys/fs/bpf"

int spw_maps_pin_dir(const char *node, char *dir, size_t dir_bytes)
{
	const char *base = getenv("SPW_BPFFS_DIR");

	if (node[0] == '\0' || node[0] == '.' || strchr(node, '/'))
		return -EINVAL;
	int bytes =
		snprintf(dir, dir_bytes, "%s/%s", base && *base ? base : BPFFS "/spillway", node);
	return bytes < 0 || (size_t)bytes >= dir_bytes ? -ENAMETOOLONG : 0;
}

/* Cuts the last part off a path; false: there is none. */
static bool path_cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return false;
	*slash = '\0';
	return true;
}

/* `where` must be on a bpf filesystem; one is mounted on /sys/fs/bpf if that is all it takes. */
static int bpffs_need(const char *where, char *why, size_t why_bytes)
{
	struct statfs fs;

	if (statfs(where, &fs) == 0 && (uint32_t)fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (strcmp(where, BPFFS) == 0 &&
	    mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
		return 0;
	snprintf(why, why_bytes,
		 "%s is not on a bpf filesystem, where the tables are kept; mount one with "
		 "`mount -t bpf bpf " BPFFS "`",
		 where);
	return -ENODEV;
}

/* Makes one folder 0700, or checks that the one that is there is ours alone. */
static int dir_make(const char *path, char *why, size_t why_bytes)
{
	struct stat st;
	int error = 0;

	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		error = -errno;
		snprintf(why, why_bytes, "the folder %s cannot be made: %s%s", path,
			 strerror(-error),
			 error == -EPERM || error == -EACCES ? "; run spillway-control as root"
							     : "");
		return error;
	}
	if (lstat(path, &st) != 0) {
		error = -errno;
		snprintf(why, why_bytes, "%s cannot be looked at: %s", path, strerror(-error));
	} else if (!S_ISDIR(st.st_mode)) {
		error = -ENOTDIR;
		snprintf(why, why_bytes, "%s is not a folder; remove it", path);
	} else if (st.st_uid != geteuid() || (st.st_mode & 077)) {
		error = -EPERM;
		snprintf(why, why_bytes,
			 "the folder %s has the owner %u and the mode %03o, so others could change "
			 "the tables in it; expected the owner %u and the mode 700; if you trust "
			 "what "
			 "is in it, set them with chown and chmod, else remove the folder",
			 path, st.st_uid, st.st_mode & 0777, geteuid());
	}
	return error;
}

int spw_pin_dir_make(const char *pin_dir, char *why, size_t why_bytes)
{
	char base[PATH_MAX], parent[PATH_MAX];

	if (snprintf(base, sizeof(base), "%s", pin_dir) >= PATH_MAX || !path_cut(base) ||
	    !strcpy(parent, base) || !path_cut(parent)) {
		snprintf(why, why_bytes,
			 "the folder `%s` cannot hold the tables; expected an absolute path "
			 "like " BPFFS "/spillway/NODE",
			 pin_dir);
		return -EINVAL;
	}
	int error = bpffs_need(parent, why, why_bytes);
	if (error)
		return error;
	/* Once more where the last other node was removed meanwhile, and the base with it. */
	error = -ENOENT;
	for (int tries = 0; tries < 2 && error == -ENOENT; tries++) {
		error = dir_make(base, why, why_bytes);
		if (error == 0)
			error = dir_make(pin_dir, why, why_bytes);
	}
	return error;
}

/* ---- remove ------------------------------------------------------------------------------- */

enum pass { PASS_LINKS, PASS_META, PASS_REST, PASSES };

static enum pass pass_of(const char *name)
{
	if (strncmp(name, "link_", 5) == 0)
		return PASS_LINKS;
	return strcmp(name, "meta") == 0 ? PASS_META : PASS_REST;
}

static int unpin_pass(DIR *dir, enum pass pass)
{
	struct dirent *entry;

	rewinddir(dir);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (pass_of(entry->d_name) == pass && unlinkat(dirfd(dir), entry->d_name, 0) != 0)
			return -errno;
	}
	return 0;
}

int spw_pin_dir_empty(const char *pin_dir, char *why, size_t why_bytes)
{
	int error = 0;
	int fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		error = -errno;
		if (fd >= 0)
			close(fd);
	}
	for (int pass = PASS_LINKS; dir && error == 0 && pass < PASSES; pass++)
		error = unpin_pass(dir, (enum pass)pass);
	if (dir)
		closedir(dir);
	if (error)
		snprintf(why, why_bytes, "the tables in %s cannot be removed: %s", pin_dir,
			 strerror(-error));
	return error;
}

int spw_maps_remove(const char *pin_dir, char *why, size_t why_bytes)
{
	char base[PATH_MAX];
	int error = spw_pin_dir_empty(pin_dir, why, why_bytes);

	if (error == 0 && rmdir(pin_dir) != 0 && errno != ENOENT) {
		error = -errno;
		snprintf(why, why_bytes, "the folder %s cannot be removed: %s", pin_dir,
			 strerror(-error));
	}
	/* Fails where another node is in it, or where it is no folder of ours but a mount. */
	if (error == 0 && snprintf(base, sizeof(base), "%s", pin_dir) < PATH_MAX && path_cut(base))
		rmdir(base);
	return error;
}
