#!/usr/bin/env python3
"""Drives a node with the OpenStack clients as they are: python-openstackclient and openstacksdk, see requirements.txt.

Credentials come from the usual OS_* variables. The life cycle runs with the `openstack` program itself; the rest of its commands run in
this process, which spares their starts. What they print is checked, not only that they succeed. Needs the image that --image names with
the demo guest in it, and the flavor tiny; leaves nothing behind. Ends with 1 and a message at the first thing that is not as it should be.

    $(tests/clients/environment)/bin/python tests/clients/openstack_flow.py --image demo
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import openstack
import openstackclient.shell

READY = "hvnode demo: guest ready"
PROGRAM = os.path.join(os.path.dirname(sys.executable), "openstack")
UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl flow@client"


class Deviation(Exception):
    """Something is not as a client expects it."""


def expect(is_so, message):
    if not is_so:
        raise Deviation(message)


def program(*words):
    """The unmodified program, in a process of its own. What it printed."""
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=180)
    expect(done.returncode == 0, f"openstack {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def shell(*words, fails=False):
    """A command of the same program, in this process. What it printed, all of it where it has to fail."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = openstackclient.shell.OpenStackShell().run(list(words))
    expect((code != 0) == fails, f"openstack {' '.join(words)}: {code}\n{out.getvalue()}\n{err.getvalue()}")
    return out.getvalue() + err.getvalue() if fails else out.getvalue()


def shown(run, *words):
    """What a command prints as JSON."""
    text = run(*words, "-f", "json")
    try:
        # Before it may stand how far a server is that is waited for.
        return json.loads(text[re.search(r"[{\[]", text).start():])
    except (ValueError, AttributeError):
        raise Deviation(f"openstack {' '.join(words)} printed no JSON: {text!r}") from None


def row(rows, **wanted):
    """The one row of a listing that has these values."""
    found = [row for row in rows if all(row.get(key.replace("_", " ")) == value for key, value in wanted.items())]
    expect(len(found) == 1, f"{len(found)} rows with {wanted} in {rows}")
    return found[0]


def limits(*names):
    found = {limit["Name"]: limit["Value"] for limit in shown(shell, "limits", "show", "--absolute")}
    return tuple(found.get(name) for name in names)


def status_of(name, run=shell):
    return shown(run, "server", "show", name)["status"]


def wait_for_guest(name, times=1):
    """Until the guest has said so often on its console that it is there."""
    end = time.monotonic() + 120
    while (text := shell("console", "log", "show", name)).count(READY) < times:
        expect(time.monotonic() < end, f"the guest of {name} did not get ready: {text[-400:]}")
        time.sleep(0.3)
    return text


def wait_for_status(name, status):
    end = time.monotonic() + 120
    while (now := status_of(name)) != status:
        expect(time.monotonic() < end and now != "ERROR", f"{name} is {now}, not {status}")
        time.sleep(0.3)


def look_at_the_node(image):
    """Everything there is to see before there is a server."""
    token = shown(program, "token", "issue")
    expect(len(token["project_id"]) == 32 and len(token["user_id"]) == 32 and token["id"], f"token: {token}")
    expect(row(shown(shell, "image", "list"), Name=image)["Status"] == "active", "the image is not active")
    found = shown(shell, "image", "show", image)
    expect(found["disk_format"] == "qcow2" and found["size"] > 0 and UUID.match(found["id"]), f"image: {found}")
    expect(row(shown(shell, "flavor", "list"), Name="tiny")["RAM"] == 192, "flavor tiny has not 192 MiB")
    expect(shown(shell, "flavor", "show", "tiny")["vcpus"] == 1, "flavor tiny has not one processor")
    hosts = shown(shell, "hypervisor", "list", "--long")
    expect(len(hosts) == 1 and hosts[0]["State"] == "up" and hosts[0]["Hypervisor Type"] == "QEMU" and hosts[0]["vCPUs"] > 0, f"{hosts}")
    host = shown(shell, "hypervisor", "show", hosts[0]["Hypervisor Hostname"])
    expect(host["status"] == "enabled" and host["running_vms"] == 0 and "load_average" in host, f"hypervisor: {host}")
    statistics = shown(shell, "hypervisor", "stats", "show")
    expect(statistics["count"] == 1 and statistics["memory_mb"] > 0, f"statistics: {statistics}")
    networks = shown(shell, "network", "list")
    expect(row(networks, Name="default")["Subnets"], f"networks: {networks}")
    network = shown(shell, "network", "show", "default")
    expect(network["status"] == "ACTIVE" and network["admin_state_up"] is True, f"network: {network}")
    expect(row(shown(shell, "subnet", "list"), Name="default")["Network"] == network["id"], "the subnet is not that of the network")
    zones = shown(shell, "availability", "zone", "list")
    expect(zones and all(zone == {"Zone Name": "nova", "Zone Status": "available"} for zone in zones), f"zones: {zones}")
    services = shown(shell, "compute", "service", "list")
    expect(row(services, Binary="nova-compute")["State"] == "up", f"services: {services}")
    expect(limits("total_instances_used", "max_total_cores", "max_total_volumes") == (0, -1, -1), "limits of compute or volume")
    expect(shown(shell, "server", "list") == [], "there are servers already")
    for words in (("security", "group", "list"), ("quota", "show"), ("extension", "list"), ("project", "list"), ("catalog", "list"),
                  ("aggregate", "list"), ("server", "group", "list"), ("volume", "list"), ("volume", "type", "list"), ("port", "list"),
                  ("floating", "ip", "list"), ("router", "list"), ("usage", "show"), ("volume", "snapshot", "list"), ("user", "list")):
        shown(shell, *words)


def live(image):
    """The life of a server without a network, each step as its user types it."""
    words = ("--image", image, "--flavor", "tiny", "--nic", "none", "--key-name", "flow", "--property", "role=test")
    server = shown(program, "server", "create", *words, "--wait", "first")
    expect(server["status"] == "ACTIVE" and server["name"] == "first" and UUID.match(server["id"]), f"server: {server}")
    expect(server["addresses"] == {} and server["key_name"] == "flow" and server["properties"] == {"role": "test"}, f"server: {server}")
    expect(server["id"] in program("server", "show", "first", "-f", "value", "-c", "id"), "show by name is of another server")
    listed = row(shown(program, "server", "list"), Name="first")
    expect(listed == {"ID": server["id"], "Name": "first", "Status": "ACTIVE", "Networks": {}, "Image": image, "Flavor": "tiny"}, f"{listed}")
    wait_for_guest("first")
    program("server", "stop", "first")
    wait_for_status("first", "SHUTOFF")
    expect("vm_state stopped" in shell("server", "pause", "first", fails=True), "a server that is off is held, or refused in other words")
    program("server", "start", "first")
    wait_for_status("first", "ACTIVE")
    wait_for_guest("first", times=2)
    program("server", "reboot", "--soft", "--wait", "first")
    expect(status_of("first") == "ACTIVE", "after a soft reboot")
    wait_for_guest("first", times=3)
    program("server", "reboot", "--hard", "--wait", "first")
    expect(status_of("first") == "ACTIVE", "after a hard reboot")
    wait_for_guest("first", times=4)
    shell("server", "pause", "first")
    wait_for_status("first", "PAUSED")
    shell("server", "unpause", "first")
    wait_for_status("first", "ACTIVE")


def change(image):
    """What can be said about a server, seen from it, and its size."""
    shell("server", "set", "--name", "second", "--property", "more=yes", "--description", "mine", "first")
    shell("server", "unset", "--property", "role", "second")
    shell("--os-compute-api-version", "2.26", "server", "set", "--tag", "blue", "second")
    server = shown(shell, "--os-compute-api-version", "2.72", "server", "show", "second")
    expect((server["properties"], server["tags"], server["description"]) == ({"more": "yes"}, ["blue"], "mine"), f"server: {server}")
    expect(row(shown(shell, "--os-compute-api-version", "2.26", "server", "list", "--tags", "blue"), Name="second"), "by tag")
    shell("--os-compute-api-version", "2.26", "server", "unset", "--tag", "blue", "second")
    shell("server", "lock", "second")
    expect("locked" in shell("server", "stop", "second", fails=True), "a locked server stops")
    shell("server", "unlock", "second")
    url = shown(shell, "console", "url", "show", "second")
    expect(url["protocol"] == "vnc" and url["url"].startswith("vnc://"), f"console: {url}")
    events = shown(shell, "server", "event", "list", "second")
    expect({"create", "stop", "start", "reboot", "pause", "unpause"} <= {event["Action"] for event in events}, f"events: {events}")
    event = shown(shell, "server", "event", "show", "second", events[-1]["Request ID"])
    expect(event["action"] == "create" and event["events"][0]["result"] == "Success", f"event: {event}")
    shell("flavor", "create", "--ram", "256", "--vcpus", "2", "--disk", "0", "larger")
    shell("--os-compute-api-version", "2.55", "flavor", "set", "--description", "for tests", "larger")
    found = shown(shell, "--os-compute-api-version", "2.55", "flavor", "show", "larger")
    expect(found["description"] == "for tests", f"flavor: {found}")
    resize("second", "larger", "confirm", 256, 2, "ACTIVE")
    expect(limits("total_instances_used", "total_ram_used", "total_cores_used") == (1, 256, 2), "what is used")
    expect("larger" in shell("flavor", "delete", "larger", fails=True), "the flavor of a server is removed")
    expect("image" in shell("image", "delete", image, fails=True).lower(), "the image of a server is removed")
    shell("server", "stop", "second")
    wait_for_status("second", "SHUTOFF")
    resize("second", "tiny", "revert", 256, 2, "SHUTOFF")


def resize(name, flavor, ending, ram, vcpus, status):
    """To another flavor and there, or back."""
    shell("server", "resize", "--flavor", flavor, "--wait", name)
    expect(status_of(name) == "VERIFY_RESIZE", "after a resize")
    shell("server", "resize", ending, name)
    wait_for_status(name, status)
    found = shown(shell, "--os-compute-api-version", "2.72", "server", "show", name)["flavor"]
    expect((found["ram"], found["vcpus"]) == (ram, vcpus), f"after {ending}: {found}")


def bring_an_image(image):
    """An image out of the node and in again: the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        saved, again = os.path.join(folder, "saved"), os.path.join(folder, "again")
        shell("image", "save", "--file", saved, image)
        made = shown(shell, "image", "create", "--file", saved, "--disk-format", "qcow2", "--container-format", "bare", "--property",
                     "os_type=linux", "--tag", "mine", "copy")
        with open(saved, "rb") as file:
            content = file.read()
        found = shown(shell, "image", "show", "copy")
        expect(found["status"] == "active" and found["size"] == len(content), f"image: {found}")
        expect(found["checksum"] == hashlib.md5(content).hexdigest(), f"the MD5 is not that of the file: {found}")
        properties = found["properties"]
        expect(properties["os_hash_algo"] == "sha256" and properties["os_hash_value"] == hashlib.sha256(content).hexdigest(), f"{found}")
        expect(properties["os_type"] == "linux" and found["tags"] == ["mine"] and found["id"] == made["id"], f"image: {found}")
        shell("image", "set", "--name", "copied", "--property", "note=x", "--tag", "yours", "copy")
        shell("image", "unset", "--tag", "mine", "copied")
        expect(shown(shell, "image", "show", "copied")["tags"] == ["yours"], "the tags of the image")
        shell("image", "save", "--file", again, "copied")
        with open(again, "rb") as file:
            expect(file.read() == content, "an image comes back as other bytes")
        wrong = os.path.join(folder, "wrong")
        with open(wrong, "wb") as file:
            file.write(b"no disk at all" * 100_000)
        words = ("image", "create", "--file", wrong, "--disk-format", "qcow2", "--container-format", "bare", "wrong")
        expect("400" in shell(*words, fails=True) or shown(shell, "image", "list", "--name", "wrong") == [], "what is no disk is taken")
    for left in shown(shell, "image", "list", "--name", "wrong"):
        expect(left["Status"] == "queued", f"what is no disk is an image: {left}")
        shell("image", "delete", left["ID"])
    return "copied"


def as_a_library(image):
    """The SDK's cloud layer, as Ansible uses it: it deletes a server that has no address once it is active."""
    cloud = openstack.connect()
    server = cloud.create_server("third", image=image, flavor="tiny", network="default", wait=True, auto_ip=False, timeout=120)
    addresses = [address["addr"] for network in server.addresses.values() for address in network]
    expect(server.status == "ACTIVE" and len(addresses) == 1, f"server: {server}")
    port = next(cloud.network.ports(device_id=server.id))
    expect(port.fixed_ips[0]["ip_address"] == addresses[0] and port.device_owner == "compute:nova", f"port: {port}")
    listed = row(shown(shell, "server", "list"), Name="third")
    expect(listed["Networks"] == {"default": addresses}, f"server: {listed}")
    text = wait_for_guest("third")
    expect(f"guest ready, address {addresses[0]}" in text.replace("/24", ""), f"the guest has another address than {addresses}: {text[-300:]}")
    figures = cloud.compute.get_server_diagnostics(server)
    expect(figures.state == "running" and figures.num_nics == 1, f"diagnostics: {figures}")
    expect(cloud.delete_server("third", wait=True, timeout=60), "the server was not there to be deleted")


def clean_up(image):
    program("server", "delete", "--wait", "second")
    expect("No Server found" in program_fails("server", "show", "second"), "a server that was deleted is shown")
    shell("flavor", "delete", "larger")
    shell("image", "delete", image)
    shell("keypair", "delete", "flow")
    expect(shown(shell, "keypair", "list") == [] and shown(shell, "server", "list") == [], "something is left")


def program_fails(*words):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=60)
    expect(done.returncode != 0, f"openstack {' '.join(words)} succeeds: {done.stdout}")
    return done.stdout + done.stderr


def keys():
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write(KEY + "\n")
        file.flush()
        shell("keypair", "create", "--public-key", file.name, "flow")
    pair = row(shown(shell, "keypair", "list"), Name="flow")
    expect(pair["Fingerprint"].startswith("SHA256:"), f"key pair: {pair}")
    expect(shell("keypair", "show", "--public-key", "flow").strip() == KEY, "the public key is another one")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--image", default="demo", help="a disk image with the demo guest")
    image = arguments.parse_args().image
    # Commands that run in this process read it only once.
    os.environ.setdefault("OS_COMPUTE_API_VERSION", "2.72")
    copy = None

    def bring():
        nonlocal copy
        copy = bring_an_image(image)

    steps = (
        ("the node is looked at", lambda: look_at_the_node(image)),
        ("a key pair is made", keys),
        ("a server lives", lambda: live(image)),
        ("it is changed and resized", lambda: change(image)),
        ("an image goes out and in", bring),
        ("the SDK makes a server of it", lambda: as_a_library(copy)),
        ("everything is removed", lambda: clean_up(copy)),
    )
    for name, step in steps:
        began = time.monotonic()
        try:
            step()
        except (Deviation, openstack.exceptions.SDKException, subprocess.TimeoutExpired, LookupError, AttributeError) as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
    print("ok: everything is as the clients expect it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
