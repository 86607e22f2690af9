/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prefixes in config.yaml that contradict each other. They are sorted by address, so that of two
 * that are equal or contain each other, two stand side by side, however many there are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/daemon/config_file.h"

/* Where a prefix is written: lists[kind] with the indices i and j. */
enum list_kind { LIST_ROUTE, LIST_LAN, LIST_ALLOW, LIST_DENY };

struct claim {
	uint32_t group; /* only prefixes of one group can contradict each other */
	struct spw_prefix prefix;
	enum list_kind kind;
	uint32_t i, j;
};

struct claims {
	const struct spw_marks *marks;
	struct spw_error *error;
	struct claim *all;
	uint32_t cnt;
};

static struct spw_path claim_path(const struct claim *claim)
{
	switch (claim->kind) {
	case LIST_ROUTE:
		return spw_path("tenants[%u].routes[%u].prefix", claim->i, claim->j);
	case LIST_LAN:
		return spw_path("interfaces[%u].prefixes[%u]", claim->i, claim->j);
	case LIST_ALLOW:
		return spw_path("tunnels[%u].allow[%u]", claim->i, claim->j);
	case LIST_DENY:
		break;
	}
	return spw_path("deny[%u]", claim->j);
}

static int compare_claims(const void *a, const void *b)
{
	const struct claim *left = a, *right = b;
	if (left->group != right->group)
		return left->group < right->group ? -1 : 1;
	if (left->prefix.family != right->prefix.family)
		return left->prefix.family - right->prefix.family;
	int order = memcmp(left->prefix.addr, right->prefix.addr, sizeof(left->prefix.addr));
	return order ? order : left->prefix.bits - right->prefix.bits;
}

static bool prefix_contains(const struct spw_prefix *outer, const struct spw_prefix *inner)
{
	if (outer->family != inner->family || outer->bits > inner->bits)
		return false;
	for (unsigned int bit = 0; bit < outer->bits; bit++)
		if ((outer->addr[bit / 8] ^ inner->addr[bit / 8]) & (0x80u >> (bit % 8)))
			return false;
	return true;
}

static int fail_pair(const struct claims *claims, const struct claim *a, const struct claim *b)
{
	static const char *const whose[] = {"a route", "a lan's prefix", "an allowed prefix",
					    "a denied prefix"};
	struct spw_place a_place = spw_marks_place(claims->marks, claim_path(a));
	struct spw_place b_place = spw_marks_place(claims->marks, claim_path(b));
	bool a_is_later = a_place.line != b_place.line ? a_place.line > b_place.line
						       : a_place.column > b_place.column;
	const struct claim *later = a_is_later ? a : b, *earlier = a_is_later ? b : a;
	struct spw_place place = a_is_later ? b_place : a_place;
	char later_text[64], earlier_text[64];
	bool equal = later->prefix.bits == earlier->prefix.bits;
	spw_prefix_format(&later->prefix, later_text, sizeof(later_text));
	spw_prefix_format(&earlier->prefix, earlier_text, sizeof(earlier_text));
	return spw_marks_fail(claims->marks, claim_path(later), claims->error, -EEXIST,
			      ": %s %s %s, %s in line %d; expected %s", later_text,
			      equal ? "stands there already as" : "overlaps with",
			      equal ? whose[earlier->kind] : earlier_text,
			      equal ? "written" : whose[earlier->kind], place.line,
			      equal ? "every prefix once" : "prefixes apart from each other");
}

static int check_claims(struct claims *claims, bool overlap)
{
	if (claims->cnt > 0)
		qsort(claims->all, claims->cnt, sizeof(*claims->all), compare_claims);
	for (uint32_t i = 1; i < claims->cnt; i++) {
		const struct claim *a = &claims->all[i - 1], *b = &claims->all[i];
		if (a->group != b->group || !prefix_contains(&a->prefix, &b->prefix))
			continue;
		if (overlap || a->prefix.bits == b->prefix.bits)
			return fail_pair(claims, a, b);
	}
	return 0;
}

static void add_claim(struct claims *claims, uint32_t group, const char *text, enum list_kind kind,
		      uint32_t i, uint32_t j)
{
	struct claim *claim = &claims->all[claims->cnt];
	const char *expected;
	*claim = (struct claim){.group = group, .kind = kind, .i = i, .j = j};
	if (spw_prefix_parse(text, &claim->prefix, &expected) == 0)
		claims->cnt++;
}

static void claim_lans(struct claims *claims, const struct spw_file *file)
{
	for (uint32_t i = 0; i < file->interfaces_cnt; i++) {
		const struct spw_file_interface *interface = &file->interfaces[i];
		uint32_t tenant = 0;
		while (tenant < file->tenants_cnt && interface->tenant &&
		       strcmp(file->tenants[tenant].name, interface->tenant) != 0)
			tenant++;
		for (uint32_t j = 0; j < interface->prefixes_cnt; j++)
			add_claim(claims, tenant, interface->prefixes[j], LIST_LAN, i, j);
	}
}

static uint32_t count_prefixes(const struct spw_file *file)
{
	uint32_t cnt = file->deny_cnt;
	for (uint32_t i = 0; i < file->interfaces_cnt; i++)
		cnt += file->interfaces[i].prefixes_cnt;
	for (uint32_t i = 0; i < file->tenants_cnt; i++)
		cnt += file->tenants[i].routes_cnt;
	for (uint32_t i = 0; i < file->tunnels_cnt; i++)
		cnt += file->tunnels[i].allow_cnt;
	return cnt;
}

/* What a tenant's packets meet: lans lie apart, and no prefix leads two ways. A route inside a
 * lan's prefix is fine, the longer prefix wins. */
static int check_routing(struct claims *claims, const struct spw_file *file)
{
	claims->cnt = 0;
	claim_lans(claims, file);
	int rc = check_claims(claims, true);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < file->tenants_cnt; i++)
		for (uint32_t j = 0; j < file->tenants[i].routes_cnt; j++)
			add_claim(claims, i, file->tenants[i].routes[j].prefix, LIST_ROUTE, i, j);
	return check_claims(claims, false);
}

/* Sets: a prefix in a wider one of the same set is of no use, but does no harm. */
static int check_sets(struct claims *claims, const struct spw_file *file)
{
	claims->cnt = 0;
	for (uint32_t j = 0; j < file->deny_cnt; j++)
		add_claim(claims, UINT32_MAX, file->deny[j], LIST_DENY, 0, j);
	for (uint32_t i = 0; i < file->tunnels_cnt; i++)
		for (uint32_t j = 0; j < file->tunnels[i].allow_cnt; j++)
			add_claim(claims, i, file->tunnels[i].allow[j], LIST_ALLOW, i, j);
	return check_claims(claims, false);
}

int spw_file_check_prefixes(const struct spw_marks *marks, const struct spw_file *file,
			    struct spw_error *error)
{
	struct claims claims = {.marks = marks, .error = error};
	claims.all = calloc((size_t)count_prefixes(file) + 1, sizeof(*claims.all));
	if (!claims.all)
		return spw_error_set(error, -ENOMEM, (struct spw_place){0}, "out of memory");
	int rc = check_routing(&claims, file);
	if (rc == 0)
		rc = check_sets(&claims, file);
	free(claims.all);
	return rc;
}
