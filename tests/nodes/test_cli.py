# SPDX-License-Identifier: BSD-2-Clause
"""The command line against a node that runs: what it prints, what it refuses, how it exits."""

import json
import re
import subprocess

import pytest
import topology

TUNNELS_MAX = 3
LISTS = ("status", "tunnel list", "tunnel show to-b", "route list", "route list tenant blue",
         "rate list", "relay show", "relay show ab", "drops")
COMMANDS = ("run", "status", "tunnel list", "tunnel show", "tunnel add", "tunnel del",
            "tunnel first-use", "route list", "route add", "route del", "rate list", "rate set",
            "relay show", "relay add", "relay del", "relay arm", "drops", "batch")


class Shell:
    """The command as a person runs it beside the node."""

    def __init__(self, lab, node):
        self.lab, self.node = lab, node

    def __call__(self, *words, text=None, status=0):
        words = [part for word in words for part in str(word).split()]
        done = subprocess.run([self.lab.program("spillway"), *words], text=True, input=text or "",
                              cwd=self.lab.folder, env=self.lab.environment, timeout=30,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stderr if status else done.stdout

    def state(self):
        """All that commands can change."""
        return [json.loads(self(words, "--json")) for words in ("route list", "rate list")] + \
            [[{key: tunnel[key] for key in ("name", "tenant", "remote")}
              for tunnel in json.loads(self("tunnel list --json"))],
             json.loads(self("status --json"))["revision"]]


@pytest.fixture(scope="module")
def sh(request, open_lab):
    with open_lab(request.node) as lab:
        space, far = lab.namespace("node"), lab.namespace("far")
        lab.link(space, "wan0", far, "far0", ["192.0.2.1/24"], ["192.0.2.2/24"])
        lab.link(space, "lan0", far, "far1", ["10.1.0.1/24"], ["10.1.0.2/24"])
        for name in ("b", "c", "d", "e"):
            lab.secret(name)
        node = lab.node(space, {
            "limits": {"tunnels": TUNNELS_MAX, "tenants": 4, "routes": 1000},
            "interfaces": [{"name": "wan0", "role": "wan"},
                           {"name": "lan0", "role": "lan", "tenant": "blue",
                            "prefixes": ["10.1.0.0/24"]}],
            "tenants": [{"name": "blue", "routes": [{"prefix": "10.2.0.0/24", "tunnel": "to-b"}]},
                        {"name": "green"}],
            "tunnels": [{"name": "to-b", "tenant": "blue", "remote": "192.0.2.2",
                         "allow": ["10.2.0.0/24"], "rate_out": "100mbit",
                         "static": {"secret_file": lab.secret("b")}}],
            "relays": [{"name": "ab", "port": 51820, "between": ["192.0.2.2:1", "any"]}]})
        node.start()
        yield Shell(lab, node)


# ---- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", LISTS)
def test_json_is_one_value_and_text_says_the_same(sh, words):
    value = json.loads(sh(words, "--json"))
    text = sh(words)
    assert value and text.strip() and not text.lstrip().startswith(("{", "["))
    if words not in ("status", "drops", "rate list"):
        for name in re.findall(r'"(?:name|prefix|remote)": "([^"]+)"', json.dumps(value)):
            assert name in text


def test_one_node_needs_no_name(sh):
    assert json.loads(sh("status --json"))["node"] == sh.node.name
    assert json.loads(sh("--node", sh.node.name, "status", "--json"))["node"] == sh.node.name
    assert sh.node.name in sh("--node gw-z status", status=2)


def test_no_node_at_all(sh, tmp_path):
    environment, sh.lab.environment = sh.lab.environment, {**sh.lab.environment,
                                                           "SPW_RUN_DIR": str(tmp_path)}
    try:
        assert "no node runs on this host" in sh("status", status=1)
    finally:
        sh.lab.environment = environment


def test_drops_name_every_reason(sh):
    drops = json.loads(sh("drops --json"))
    assert len(drops) > 20 and len({drop["reason"] for drop in drops}) == len(drops)
    assert all(drop["text"] and drop["where"] and drop["packets"] >= 0 for drop in drops)


# ---- help ---------------------------------------------------------------------------------------


def test_help_teaches_every_command(sh):
    overview = sh("--help")
    for words in COMMANDS:
        assert words.split()[0] in overview
        text = sh(words, "--help")
        assert f"spillway {words}" in text and len(text.splitlines()) >= 4
    for thing, verb in (("tunnel", "list"), ("route", "list"), ("rate", "list"), ("relay", "arm")):
        assert verb in sh(thing, "--help")
    assert sh("--version").startswith("spillway ")


# ---- what is not understood ---------------------------------------------------------------------

NOT_UNDERSTOOD = {
    "": ["spillway"],
    "statsu": ["did you mean \"status\"", "tunnel", "route"],
    "tunnel": ["what about it", "list", "first-use"],
    "tunnel lst": ["did you mean \"list\""],
    "tunnel show": ["NAME is missing"],
    "tunnel show to-d": ["there is no tunnel \"to-d\"", "to-b"],
    "tunnel del to-z": ["no tunnel \"to-z\"", "to-b"],
    "tunnel first-use to-z": ["there is no tunnel \"to-z\"", "to-b"],
    "route list tenant blu": ["there is no tenant \"blu\"", "blue", "green"],
    "route add 10.3.0.0/16 tunnel to-z tenant blue": ["\"to-z\"", "to-b"],
    "route add 10.3.0.0/16 tunnel to-b tenant red": ["\"red\"", "blue", "green"],
    "route add 10.3.0.0/16 tunel to-b tenant blue": ["\"tunel\"", "did you mean \"tunnel\""],
    "route add 10.3.0.1/16 tunnel to-b tenant blue": ["\"10.3.0.1/16\" is not right"],
    "route del 10.99.0.0/16 tenant blue": ["10.99.0.0/16"],
    "rate set tunnel to-b fast": ["\"fast\" is not right", "50mbit"],
    "rate set tunnel to-z 5mbit": ["\"to-z\"", "to-b"],
    "rate set tenant red 5mbit": ["\"red\"", "blue"],
    "rate set 5mbit": ["whose rate"],
    "rate set tunnel to-b 5mbit direction up": ["\"up\" is not right", "in|out|both"],
    "rate set tenant blue 5mbit direction in": ["no direction"],
    "tunnel add to-c --tenant blue --remote 192.0.2.3 --allow 10.3.0.0/24": ["has no keys"],
    "tunnel add to-c --tenant red --remote 192.0.2.3 --allow 10.3.0.0/24 --secret-file c.secret":
        ["\"red\"", "blue"],
    "relay show ba": ["there is no relay \"ba\"", "expected: ab"],
    "relay arm ba": ["there is no relay \"ba\"", "ab"],
    "relay arm ab --for 11m": ["11m", "1s to 600s"],
    "rate set relay ba 5mbit": ["there is no relay \"ba\"", "ab"],
    "rate set relay ab none": ["\"none\"", "always has one"],
    "rate set relay ab 5mbit direction in": ["direction", "each direction"],
    "relay add x --port 0 --between 192.0.2.2:1 any": ["port is 0"],
    "relay add x --port 5 --between 192.0.2.2 any": ["\"192.0.2.2\"", "198.51.100.7:51820"],
}


@pytest.mark.parametrize("words", NOT_UNDERSTOOD)
def test_unknown_words_and_names_say_what_would_have_been_right(sh, words):
    before = sh.state()
    said = sh(words, status=2)
    for expected in NOT_UNDERSTOOD[words]:
        assert expected in said
    assert said.count("expected") <= 1
    answer = subprocess.run([sh.lab.program("spillway"), "--json", *words.split()], text=True,
                            env=sh.lab.environment, cwd=sh.lab.folder, stdout=subprocess.PIPE)
    assert answer.returncode == 2 and json.loads(answer.stdout)["error"]["message"]
    assert sh.state() == before


REFUSED = {
    "tunnel add to-b --tenant blue --remote 192.0.2.3 --allow 10.3.0.0/24 --secret-file c.secret":
        ["\"to-b\"", "already"],
    "tunnel add to-c --tenant blue --remote 192.0.2.3 --allow 10.3.0.0/24 --secret-file b.secret":
        ["to-b"],  # the same key in two tunnels
    "tunnel add to-c --tenant blue --remote 192.0.2.3 --allow 10.3.0.0/24 --secret-file gone":
        ["/gone", "No such file"],
    "tunnel del to-b": ["route"],
    "route add 10.2.0.0/24 tunnel to-b tenant blue": ["10.2.0.0/24", "already"],
    "route add 10.3.0.0/24 tunnel to-b tenant green": ["tenant"],
    "route del 10.1.0.0/24 tenant blue": ["lan"],
    "tunnel first-use to-b": ["foreign"],
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused_changes_change_nothing_and_say_why(sh, words):
    before = sh.state()
    said = sh(words, status=1)
    for expected in REFUSED[words]:
        assert expected in said
    assert sh.state() == before


# ---- changes ------------------------------------------------------------------------------------


def test_life_of_a_tunnel(sh):
    before = sh.state()[:3]
    sh("tunnel add to-c --tenant green --remote 192.0.2.3:4600 --allow 10.3.0.0/24 fd00:3::/64 "
       "--mtu 1300 --secret-file c.secret --cipher aes-256-gcm")
    sh("route add 10.3.0.0/24 tunnel to-c tenant green")
    sh("route add fd00:3::/64 tunnel to-c tenant green")
    sh("rate set tunnel to-c 5mbit direction out burst 20000")
    shown = json.loads(sh("tunnel show to-c --json"))
    assert (shown["tenant"], shown["remote"], shown["mtu"]) == ("green", "192.0.2.3:4600", 1300)
    assert shown["allow"] == ["10.3.0.0/24", "fd00:3::/64"]
    assert (shown["rate_in"], shown["rate_out"]) == ("none", "5mbit")
    assert {"kind": "tunnel", "name": "to-c", "direction": "out", "rate_kbit": 5000,
            "burst_bytes": 20000} in json.loads(sh("rate list --json"))
    assert [route["prefix"] for route in json.loads(sh("route list tenant green --json"))] == \
        ["10.3.0.0/24", "fd00:3::/64"]
    sh("tunnel del to-c", status=1)  # routes lead into it
    for prefix in ("10.3.0.0/24", "fd00:3::/64"):
        sh("route del", prefix, "tenant green")
    sh("tunnel del to-c")
    assert sh.state()[:3] == before


def test_full_table_of_tunnels_changes_nothing(sh):
    add = ("tunnel add to-{0} --tenant blue --remote 192.0.2.9 --allow 10.9.0.0/24 "
           "--secret-file {0}.secret")
    for name in "cd":
        sh(add.format(name))
    try:
        full = sh.state()
        said = sh(add.format("e"), status=1)
        assert "limits.tunnels" in said and sh.state() == full
        # Half a batch does not get in either.
        said = sh("batch -", text=f"route add 10.8.0.0/24 tunnel to-b tenant blue\n"
                  f"{add.format('e')}\n", status=1)
        assert "stdin:2:" in said and sh.state() == full
    finally:
        for name in "cd":
            sh("tunnel del", f"to-{name}")
    topology.wait_for(lambda: json.loads(sh("status --json"))["tables"]["tunnels"]["used"] == 1, 5,
                      "the deleted tunnels' places are free")
    sh(add.format("e"))
    sh("tunnel del to-e")


def test_batch_is_all_or_nothing(sh):
    before = sh.state()
    good = "".join(f"route add 10.{k}.0.0/16 tunnel to-b tenant blue\n" for k in range(50, 60))
    (sh.lab.folder / "changes.txt").write_text(
        "# ten routes and a mistake\n\n" + good + "route del 10.77.0.0/16 tenant blue  # none\n")
    for file, name in (("changes.txt", "changes.txt"), ("-", "stdin")):
        said = sh("batch", file, text=(sh.lab.folder / "changes.txt").read_text(), status=2)
        assert f"{name}:13: " in said and "10.77.0.0/16" in said and sh.state() == before
    assert "stdin:2: " in sh("batch -", text="# one line\nroute ad 1\n", status=2)
    assert json.loads(sh("batch - --json", text=good)) == {"applied": 10}
    assert len(sh.state()[0]) == len(before[0]) + 10
    sh("batch -", text=good.replace("add", "del").replace("tunnel to-b ", ""))
    assert sh.state()[0] == before[0]


def test_batch_that_undoes_itself(sh):
    """Lines take effect in their order, seen from outside all at once."""
    before = sh.state()[0]
    assert json.loads(sh("batch - --json", text=(
        "route del 10.2.0.0/24 tenant blue\nroute add 10.2.0.0/24 tunnel to-b tenant blue\n"
        "route add 10.44.0.0/16 tunnel to-b tenant blue\nroute del 10.44.0.0/16 tenant blue\n"
    ))) == {"applied": 4}
    assert sh.state()[0] == before
