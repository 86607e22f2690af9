/* SPDX-License-Identifier: BSD-2-Clause */
/* Names in config.yaml: their form, no name twice, and every reference leads somewhere. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/config_file.h"
#include "control/daemon/values.h"

#define NAMES_SHOWN_MAX 5

struct name {
	const char *text;
	uint32_t index; /* in the file's list */
};

struct names {
	const char *list, *what; /* "tenants", "tenant" */
	struct name *sorted;
	uint32_t cnt;
};

static int compare_names(const void *a, const void *b)
{
	const struct name *left = a, *right = b;
	int order = strcmp(left->text, right->text);
	if (order != 0)
		return order;
	return left->index < right->index ? -1 : left->index > right->index;
}

static const struct name *find_name(const struct names *names, const char *text)
{
	uint32_t low = 0, high = names->cnt;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(names->sorted[middle].text, text);
		if (order == 0)
			return &names->sorted[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Sorts, and refuses names that break the rules or stand twice. */
static int index_names(struct names *names, const struct spw_marks *marks, struct spw_error *error)
{
	for (uint32_t i = 0; i < names->cnt; i++) {
		const char *expected;
		if (spw_name_check(names->sorted[i].text, &expected) < 0)
			return spw_marks_fail(marks, spw_path("%s[%u].name", names->list, i), error,
					      -EINVAL, " is %s; expected %s",
					      spw_quote(names->sorted[i].text).text, expected);
	}
	if (names->cnt > 0)
		qsort(names->sorted, names->cnt, sizeof(*names->sorted), compare_names);
	for (uint32_t i = 1; i < names->cnt; i++) {
		const struct name *first = &names->sorted[i - 1], *second = &names->sorted[i];
		if (strcmp(first->text, second->text) != 0)
			continue;
		struct spw_path path = spw_path("%s[%u].name", names->list, second->index);
		struct spw_place other =
			spw_marks_place(marks, spw_path("%s[%u].name", names->list, first->index));
		return spw_marks_fail_at(marks, spw_path("%s", ""), spw_marks_place(marks, path),
					 error, -EEXIST,
					 "the %s \"%s\" stands in line %d already; expected a name "
					 "of its own",
					 names->what, second->text, other.line);
	}
	return 0;
}

/* " is "blu", but there is no such tenant; did you mean "blue"? expected one of blue, green" */
static int fail_reference(const struct names *names, const char *text,
			  const struct spw_marks *marks, struct spw_path path,
			  struct spw_error *error)
{
	char shown[NAMES_SHOWN_MAX * SPW_NAME_BYTES + 16] = "";
	const char *nearest = NULL;
	size_t used = 0;
	for (uint32_t i = 0; i < names->cnt; i++) {
		if (i < NAMES_SHOWN_MAX)
			used += (size_t)snprintf(shown + used, sizeof(shown) - used, "%s%s",
						 i ? ", " : "", names->sorted[i].text);
		const char *near_words[] = {names->sorted[i].text, nearest};
		nearest = spw_word_nearest(text, near_words, nearest ? 2 : 1);
	}
	if (names->cnt > NAMES_SHOWN_MAX)
		snprintf(shown + used, sizeof(shown) - used, ", ...");
	return spw_marks_fail(
		marks, path, error, -ENOENT, " is %s, but there is no such %s; %s%s%sexpected %s%s",
		spw_quote(text).text, names->what, nearest ? "did you mean \"" : "",
		nearest ? nearest : "", nearest ? "\"? " : "",
		names->cnt ? "one of " : "an entry in ", names->cnt ? shown : names->list);
}

static int check_routes(const struct spw_marks *marks, const struct spw_file *file, uint32_t tenant,
			const struct names *tunnels, struct spw_error *error)
{
	const struct spw_file_tenant *owner = &file->tenants[tenant];
	for (uint32_t i = 0; i < owner->routes_cnt; i++) {
		struct spw_path path = spw_path("tenants[%u].routes[%u].tunnel", tenant, i);
		const struct name *found = find_name(tunnels, owner->routes[i].tunnel);
		if (!found)
			return fail_reference(tunnels, owner->routes[i].tunnel, marks, path, error);
		const char *other = file->tunnels[found->index].tenant;
		if (strcmp(other, owner->name) != 0)
			return spw_marks_fail(marks, path, error, -EINVAL,
					      " is \"%s\", which belongs to the tenant %s; "
					      "expected a tunnel of \"%s\": packets never cross "
					      "tenants",
					      found->text, spw_quote(other).text, owner->name);
	}
	return 0;
}

static int check_references(const struct spw_marks *marks, const struct spw_file *file,
			    const struct names *tenants, const struct names *tunnels,
			    struct spw_error *error)
{
	for (uint32_t i = 0; i < file->interfaces_cnt; i++) {
		const char *tenant = file->interfaces[i].tenant;
		if (tenant && !find_name(tenants, tenant))
			return fail_reference(tenants, tenant, marks,
					      spw_path("interfaces[%u].tenant", i), error);
	}
	for (uint32_t i = 0; i < file->tunnels_cnt; i++)
		if (!find_name(tenants, file->tunnels[i].tenant))
			return fail_reference(tenants, file->tunnels[i].tenant, marks,
					      spw_path("tunnels[%u].tenant", i), error);
	for (uint32_t i = 0; i < file->tenants_cnt; i++) {
		int rc = check_routes(marks, file, i, tunnels, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int spw_file_check_names(const struct spw_marks *marks, const struct spw_file *file,
			 struct spw_error *error)
{
	struct names tenants = {.list = "tenants", .what = "tenant", .cnt = file->tenants_cnt};
	struct names tunnels = {.list = "tunnels", .what = "tunnel", .cnt = file->tunnels_cnt};
	struct names relays = {.list = "relays", .what = "relay", .cnt = file->relays_cnt};
	int rc;
	tenants.sorted = calloc(tenants.cnt + 1, sizeof(*tenants.sorted));
	tunnels.sorted = calloc(tunnels.cnt + 1, sizeof(*tunnels.sorted));
	relays.sorted = calloc(relays.cnt + 1, sizeof(*relays.sorted));
	if (!tenants.sorted || !tunnels.sorted || !relays.sorted) {
		rc = spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
		goto out;
	}
	for (uint32_t i = 0; i < tenants.cnt; i++)
		tenants.sorted[i] = (struct name){file->tenants[i].name, i};
	for (uint32_t i = 0; i < tunnels.cnt; i++)
		tunnels.sorted[i] = (struct name){file->tunnels[i].name, i};
	for (uint32_t i = 0; i < relays.cnt; i++)
		relays.sorted[i] = (struct name){file->relays[i].name, i};

	rc = index_names(&tenants, marks, error);
	if (rc == 0)
		rc = index_names(&tunnels, marks, error);
	if (rc == 0)
		rc = index_names(&relays, marks, error);
	if (rc == 0)
		rc = check_references(marks, file, &tenants, &tunnels, error);
out:
	free(relays.sorted);
	free(tunnels.sorted);
	free(tenants.sorted);
	return rc;
}

static int fill_tenant(const struct spw_file *file, char **tenant)
{
	if (!*tenant && file->tenants_cnt == 1)
		*tenant = strdup(file->tenants[0].name);
	return *tenant || file->tenants_cnt != 1 ? 0 : -ENOMEM;
}

int spw_file_fill_tenants(const struct spw_marks *marks, struct spw_file *file,
			  struct spw_error *error)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < file->interfaces_cnt; i++)
		if (file->interfaces[i].role == SPW_PORT_LAN)
			rc = fill_tenant(file, &file->interfaces[i].tenant);
	for (uint32_t i = 0; rc == 0 && i < file->tunnels_cnt; i++) {
		rc = fill_tenant(file, &file->tunnels[i].tenant);
		if (rc == 0 && !file->tunnels[i].tenant)
			return spw_marks_fail(marks, spw_path("tunnels[%u]", i), error, -EINVAL,
					      ": no key \"tenant\"; expected \"tenant: ...\" here: "
					      "the file has %u tenants",
					      file->tenants_cnt);
	}
	return rc < 0 ? spw_error_set(error, rc, (struct spw_place){0}, "out of memory") : 0;
}
