/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * methods.h - the RPC methods: their names, their parameters, and what they do.
 *
 * dispatch.c finds a method and checks the request's form; params.c checks parameters against the
 * method's list and makes ops of them; methods.c changes the running state; methods_show.c,
 * methods_relay.c and status.c read it. Control's thread only.
 */
#ifndef SPW_METHODS_H
#define SPW_METHODS_H

#include <jansson.h>

#include "control/daemon/node.h"

/* Codes of errors: JSON-RPC 2.0, and one of our own. */
#define SPW_RPC_NOT_JSON -32700
#define SPW_RPC_BAD_REQUEST -32600
#define SPW_RPC_NO_METHOD -32601
#define SPW_RPC_BAD_PARAMS -32602
#define SPW_RPC_INTERNAL -32603
#define SPW_RPC_REFUSED -32000 /* the change was refused: nothing was changed */

enum spw_param_type {
	SPW_PARAM_TEXT,
	SPW_PARAM_NUMBER, /* 0 .. 2^32-1 */
	SPW_PARAM_BOOL,
	SPW_PARAM_LIST,
	SPW_PARAM_OBJECT,
};

struct spw_param {
	const char *name; /* NULL ends a list of them */
	enum spw_param_type type;
	bool required;
};

/* One request under way. */
struct spw_call {
	struct spw_node *node;
	int line; /* of the batch's entry at hand, 0: none */
	/* The error, once code is not 0. The first one stays. */
	int code;
	char text[512], expected[512]; /* expected: empty where there is nothing to say */
	int problem;                   /* negative errno of SPW_RPC_REFUSED */
};

/* A changing method builds one op from its parameters; it may stand in a batch. The others answer
 * with a new reference, NULL: call->code is set, or no memory. */
struct spw_method {
	const char *name;
	const struct spw_param *params;
	int (*build)(struct spw_call *call, const json_t *params, struct spw_op *op);
	json_t *(*run)(struct spw_call *call, const json_t *params);
};

extern const struct spw_method spw_methods[];
extern const size_t spw_methods_cnt;
const struct spw_method *spw_method_find(const char *name);

/* Records an error and returns -EINVAL. expected may be NULL. */
__attribute__((format(printf, 4, 5))) int
spw_call_fail(struct spw_call *call, int code, const char *expected, const char *format, ...);
/* Records what a transaction or a key manager said. */
int spw_call_refuse(struct spw_call *call, const struct spw_error *error);

/* methods.c: checks the parameters and runs the method. */
json_t *spw_method_run(const struct spw_method *method, struct spw_call *call,
		       const json_t *params);

/* params.c: an object against a list of parameters: none unknown, none missing, types right.
 * where: in front of a parameter's name in sentences ("static."), or "". 0 or -EINVAL. */
int spw_params_check(struct spw_call *call, const char *where, const json_t *object,
		     const struct spw_param *params);
extern const struct spw_param spw_params_none[], spw_params_name[], spw_params_tunnel_add[],
	spw_params_route_add[], spw_params_route_del[], spw_params_rate_set[],
	spw_params_relay_add[];

/* params.c: builders. The op's strings live in `params`; spw_op_release frees what else it holds,
 * also after a failure. */
int spw_build_tunnel_add(struct spw_call *call, const json_t *params, struct spw_op *op);
int spw_build_tunnel_del(struct spw_call *call, const json_t *params, struct spw_op *op);
int spw_build_route_add(struct spw_call *call, const json_t *params, struct spw_op *op);
int spw_build_route_del(struct spw_call *call, const json_t *params, struct spw_op *op);
int spw_build_rate_set(struct spw_call *call, const json_t *params, struct spw_op *op);
int spw_build_relay_add(struct spw_call *call, const json_t *params, struct spw_op *op);
int spw_build_relay_del(struct spw_call *call, const json_t *params, struct spw_op *op);
void spw_op_release(struct spw_op *op);

/* A word that workers write, or that a reader of ours must not tear. */
static inline uint64_t spw_load(const __u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* methods_show.c: values that several results hold; new references. */
json_t *spw_show_endpoint(const struct spw_endpoint *endpoint); /* null: family 0 */
json_t *spw_show_next_hop(const struct spw_node *node, const struct spw_nexthop *nexthop);

/* methods_show.c, methods_relay.c, status.c: what is there. */
json_t *spw_show_status(struct spw_call *call, const json_t *params);
json_t *spw_show_tunnels(struct spw_call *call, const json_t *params);
json_t *spw_show_tunnel(struct spw_call *call, const json_t *params);
json_t *spw_show_routes(struct spw_call *call, const json_t *params);
json_t *spw_show_rates(struct spw_call *call, const json_t *params);
json_t *spw_show_drops(struct spw_call *call, const json_t *params);
json_t *spw_show_relays(struct spw_call *call, const json_t *params);

/* methods_relay.c: opens an endpoint, which is no transaction. */
json_t *spw_run_relay_arm(struct spw_call *call, const json_t *params);

#endif
