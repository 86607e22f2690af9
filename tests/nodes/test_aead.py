# SPDX-License-Identifier: BSD-2-Clause
"""The AEAD provider of a node: the one that was asked for, or measured; two workers of each open
what the others seal; and the choice outlives both processes of a node."""

import os
import re
import signal

import flows
import topology

MEASURED = re.compile(r"ipsec-mb needs \d+, \d+ and \d+ cycles for 64, 512 and 1408 bytes, "
                      r"openssl \d+, \d+ and \d+")


def test_nodes_with_different_providers(lab):
    net = topology.chain(lab, settings={"workers": 2}, queues=2)
    net.gwa.config["aead"] = "openssl"
    net.relay.config["aead"] = "ipsec-mb"
    net.start()
    flows.learn_hosts(net)

    assert provider(net.gwa) == ("openssl", "as configured")
    # A machine without the library or with another CPU does its work all the same.
    name, why = provider(net.relay)
    assert (name, why) == ("ipsec-mb", "as configured") or \
        (name == "openssl" and why.startswith("ipsec-mb is asked for but cannot be used: "))
    name_auto, why = provider(net.gwb)
    assert MEASURED.match(why) or (name_auto == "openssl" and why.startswith("ipsec-mb cannot"))

    there_and_back(net)
    end_all(net.relay)
    assert provider(net.relay)[0] == name
    there_and_back(net)


def provider(node):
    dataplane = node.cli("status")["dataplane"]
    return dataplane["aead"], dataplane["aead_why"]


def there_and_back(net):
    sent = [os.urandom(length) for length in (0, 1, 15, 16, 17, 63, 64, 200, 700, 1300)]
    for source, target in ((net.app1, net.app2), (net.app2, net.app1)):
        address = net.address("app2" if target is net.app2 else "app1", "blue")
        for _ in range(8):  # each on ports of its own, so that both workers have some
            arrived = flows.deliver(source["blue"], target["blue"], address, sent, settle_s=0.05)
            assert [payload for payload, _ in arrived] == sent


def end_all(node):
    """Both processes die and come back, control with what its journal holds."""
    pids = {node.pid(process) for process in ("control", "dataplane")}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    def again():
        try:
            status = node.cli("status")
        except topology.CliError:
            return False
        return status["dataplane"]["connected"] and not pids & {status["pid"],
                                                                status["dataplane"]["pid"]}
    topology.wait_for(again, 20, f"{node.name} runs again")
