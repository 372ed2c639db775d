#!/usr/bin/env python3
"""One VM through all four APIs of a node: made with the `openstack` program, stopped by a ZStack client, started by a ChimeStack client,
deleted through the native API; what one of them does is seen by all at once, while it is under way too, and each refuses a busy VM in its
own words. The token of one API opens no other.

    $(tests/clients/environment)/bin/python tests/clients/one_vm_flow.py --host 127.0.0.1 --password PASSWORD --image demo

The ports are those of the configuration's comments. OS_* variables say how the `openstack` program logs in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import chimestack_flow
import zstack_flow

PROGRAM = os.path.join(os.path.dirname(sys.executable), "openstack")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl one@vm"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Deviation(Exception):
    """Something is not as it should be."""


def expect(is_so, message):
    if not is_so:
        raise Deviation(message)


def send(method, url, body=None, **headers):
    """Status, headers and JSON of an answer, whatever it says."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with OPENER.open(request, timeout=300) as answer:
            status, found, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, found, text = error.code, error.headers, error.read()
    return status, found, json.loads(text) if text else None


def program(*words):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=180)
    expect(done.returncode == 0, f"openstack {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Node:
    """The node through each of its APIs, logged in everywhere."""

    def __init__(self, host, password):
        self.native = f"http://{host}:7070"
        self.openstack = f"http://{host}:5000"
        self.tokens = {"native": self.post("/v1/user/login", {"user_name": "admin", "password": password})["token"]}
        user = {"name": "admin", "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        status, headers, answer = send("POST", f"{self.openstack}/identity/v3/auth/tokens", body)
        expect(status == 201, f"log-in: {answer}")
        self.tokens["openstack"] = headers["X-Subject-Token"]
        self.zstack = zstack_flow.Client(f"http://{host}:8080")
        self.zstack.log_in("admin", password)
        self.tokens["zstack"] = self.zstack.session
        self.chimestack = chimestack_flow.Client(f"http://{host}:8801", 60)
        chimestack_flow.log_in(self.chimestack, "admin", password)
        self.tokens["chimestack"] = self.chimestack.token

    def native_answer(self, method, path, body=None, token=None):
        token = token or getattr(self, "tokens", {}).get("native")
        headers = {"Authorization": token} if token else {}
        status, _, answer = send(method, self.native + path, body, **headers)
        expect(status == 200, f"{path}: HTTP {status}: {answer}")
        return answer

    def post(self, path, body):
        answer = self.native_answer("POST", path, body)
        expect(answer["status_code"] == 0, f"{path}: {answer}")
        return answer["data"]

    def get(self, path):
        answer = self.native_answer("GET", path)
        expect(answer["status_code"] == 0, f"{path}: {answer}")
        return answer["data"]

    def compute(self, method, path, body=None, token=None):
        headers = {"X_Auth_Token": token or self.tokens["openstack"], "OpenStack_API_Version": "compute 2.72"}
        return send(method, f"{self.openstack}/compute/v2.1{path}", body, **headers)

    def states(self, vm):
        """What each API says of the VM now."""
        server = self.compute("GET", f"/servers/{vm}")[2]["server"]
        rows = self.zstack.query("org.zstack.header.vm.APIQueryVmInstanceMsg", ("uuid", "=", vm.replace("-", "")))["inventories"]
        expect(len(rows) == 1, f"ZStack sees {rows}")
        chime = self.chimestack.call("GET", f"/v1/vm/{vm}")["vm"]
        return {
            "native": self.get(f"/v1/vm/inspect?vm_uuid={vm}")["vm"]["status"],
            "openstack": (server["status"], server["OS-EXT-STS:task_state"]),
            "zstack": rows[0]["state"],
            "chimestack": (chime["state"], chime["operation"].split("#")[0]),
        }

    def expect_states(self, vm, native, openstack, zstack, chimestack):
        found = self.states(vm)
        expect(found == {"native": native, "openstack": openstack, "zstack": zstack, "chimestack": chimestack}, f"the APIs say {found}")


def foreign_tokens(node):
    """Every token at every other API."""
    for owner, token in node.tokens.items():
        if owner != "native":
            answer = node.native_answer("GET", "/v1/vm/list", token=token)
            expect(answer["status_code"] == 10101 and answer["data"] is None, f"the token of {owner} at native: {answer}")
        if owner != "openstack":
            status, headers, answer = node.compute("GET", "/servers", token=token)
            error = {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}
            expect(status == 401 and answer == {"error": error}, f"the token of {owner} at OpenStack: {status} {answer}")
            expect(headers["WWW-Authenticate"].startswith("Keystone uri="), f"401 without WWW-Authenticate: {headers}")
        if owner != "zstack":
            own, node.zstack.session = node.zstack.session, token
            error = node.zstack.refused("org.zstack.header.vm.APIQueryVmInstanceMsg", {"conditions": []}, "ID.1001")
            node.zstack.session = own
            expect("Session expired" in error["details"], f"the token of {owner} at ZStack: {error}")
        if owner != "chimestack":
            own, node.chimestack.token = node.chimestack.token, token
            error = node.chimestack.call("GET", "/v1/vm", status=401)
            node.chimestack.token = own
            expect(error["status"] == "UNAUTHENTICATED", f"the token of {owner} at ChimeStack: {error}")


def make(node, image, seeds):
    """With the program; the key of its key pair is in what cloud-init reads."""
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write(KEY + "\n")
        file.flush()
        program("keypair", "create", "--public-key", file.name, "one")
    words = ("--image", image, "--flavor", "tiny", "--network", "default", "--key-name", "one")
    program("server", "create", *words, "--wait", "one")
    vm = json.loads(program("server", "show", "one", "-f", "json"))["id"]
    if seeds:
        with open(os.path.join(seeds, f"{vm}-seed.img"), "rb") as file:
            expect(KEY.encode() in file.read(), "the key is not in the seed volume")
    return vm


def stop_through_zstack(node, vm):
    """The guest has not booted far enough to heed it, so there is time to look."""
    zvm = vm.replace("-", "")
    message = {"org.zstack.header.vm.APIStopVmInstanceMsg": {"uuid": zvm, "session": {"uuid": node.zstack.session}}}
    job = node.zstack.request("POST", "/zstack/api/", json.dumps(message))
    expect(job["state"] == "Processing", f"the stop ended at once: {job}")
    node.expect_states(vm, "stopping", ("ACTIVE", "powering-off"), "Stopping", (1, "Stopping"))
    answer = node.native_answer("POST", "/v1/vm/pause", {"vm_uuid": vm})
    expect(answer["status_code"] == 13010, f"native says of a busy VM: {answer}")
    status, _, answer = node.compute("POST", f"/servers/{vm}/action", {"pause": None})
    words = f"Cannot 'pause' instance {vm} while it is in task_state powering-off"
    expect(status == 409 and answer == {"conflictingRequest": {"code": 409, "message": words}}, f"OpenStack says of it: {answer}")
    error = node.zstack.refused("org.zstack.header.vm.APIRebootVmInstanceMsg", {"uuid": zvm}, "VM.1010")
    expect("busy" in error["details"].lower(), f"ZStack says of it: {error}")
    error = node.chimestack.call("PUT", f"/v1/vm/{vm}/stop", status=400)
    expect(error["code"] == 13010 and error["status"] == "FAILED_PRECONDITION", f"ChimeStack says of it: {error}")
    end = time.monotonic() + 120
    while (job := node.zstack.request("GET", "/zstack/api/result/" + job["uuid"]))["state"] != "Done":
        expect(time.monotonic() < end, "the stop does not end")
        time.sleep(0.2)
    expect('"success":true' in job["result"].replace(" ", ""), f"the stop failed: {job}")
    node.expect_states(vm, "stopped", ("SHUTOFF", None), "Stopped", (4, ""))


def start_through_chimestack(node, vm):
    node.chimestack.call("PUT", f"/v1/vm/{vm}/start")
    path = f"/v1/vm/{vm}"
    node.chimestack.wait(path, "vm", lambda seen: seen["state"] == 1 and seen["operation"] == "", "the VM runs", 60)
    node.expect_states(vm, "running", ("ACTIVE", None), "Running", (1, ""))


def delete_through_native(node, vm):
    node.post("/v1/vm/delete", {"vm_uuid": vm, "force": True, "keep_days": 0})
    expect(node.compute("GET", f"/servers/{vm}")[0] == 404, "OpenStack still sees it")
    rows = node.zstack.query("org.zstack.header.vm.APIQueryVmInstanceMsg", ("uuid", "=", vm.replace("-", "")))["inventories"]
    expect(rows == [], f"ZStack still sees {rows}")
    node.chimestack.call("GET", f"/v1/vm/{vm}", status=404)
    expect(json.loads(program("server", "list", "-f", "json")) == [], "the program still lists it")
    program("keypair", "delete", "one")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--password", required=True)
    arguments.add_argument("--image", default="demo", help="a disk image with the demo guest")
    arguments.add_argument("--seeds", help="the folder with the seed volumes, to look for the key in; needs root")
    given = arguments.parse_args()
    try:
        node = Node(given.host, given.password)
        foreign_tokens(node)
        vm = make(node, given.image, given.seeds)
        node.expect_states(vm, "running", ("ACTIVE", None), "Running", (1, ""))
        stop_through_zstack(node, vm)
        start_through_chimestack(node, vm)
        delete_through_native(node, vm)
    except (Deviation, zstack_flow.Deviation, chimestack_flow.Deviation, subprocess.TimeoutExpired) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("ok: one VM through all APIs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
