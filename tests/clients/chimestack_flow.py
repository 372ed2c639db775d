#!/usr/bin/env python3
"""Drives a node through its ChimeStack API as a client of that system does.

log in, az, cluster, specifications, network and subnet, create, poll, stop, start, delete, log out.
Python 3, standard library only. Ends with 1 and a message at the first answer that is not as documented.

    chimestack_flow.py --url http://127.0.0.1:8801 --user admin --password-file FILE --image-url http://host/disk.qcow2
"""

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

GIBIBYTE = 1 << 30
STATE_CREATING, STATE_RUNNING, STATE_STOPPED = 0, 1, 4
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")
VM_FIELDS = (
    "uuid name description az_uuid cluster_uuid host_uuid host_name host_ip state vcpus memory spec_type hyper_type boot_type image_name"
    " os_arch os_type os_detail tags operation last_operation_name last_operation_state last_operation_created_at"
    " last_operation_finished_at created_at nics volumes tasks"
).split()


class Deviation(Exception):
    """An answer is not what the documents promise."""


def expect(is_so, message):
    if not is_so:
        raise Deviation(message)


def is_uuid(text):
    try:
        return isinstance(text, str) and str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def expect_fields(thing, fields, what):
    missing = [field for field in fields if field not in thing]
    expect(not missing, f"{what} lacks {missing}: {thing}")


class Client:
    """Requests, and the envelope that every answer has."""

    def __init__(self, url, timeout_seconds):
        self.url = url.rstrip("/")
        self.timeout_seconds = timeout_seconds
        self.token = None
        # Proxies of the environment are for other hosts.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, path, body=None, status=200):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Accept", "application/json")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with self.opener.open(request, timeout=self.timeout_seconds) as response:
                found, text = response.status, response.read()
        except urllib.error.HTTPError as error:
            found, text = error.code, error.read()
        except OSError as error:
            raise Deviation(f"{method} {path}: no answer: {error}") from None
        return self.opened(f"{method} {path}", found, text, status)

    @staticmethod
    def opened(what, found, text, status):
        try:
            answer = json.loads(text)
        except ValueError:
            raise Deviation(f"{what}: HTTP {found} and no JSON: {text[:200]!r}") from None
        expect(found == status, f"{what}: HTTP {found} in place of {status}: {answer}")
        expect(is_uuid(answer.get("requestId")), f"{what}: requestId is no uuid: {answer}")
        expect("result" in answer, f"{what}: no result: {answer}")
        error = answer.get("error")
        if status == 200:
            expect(error is None, f"{what}: a success with an error: {answer}")
            return answer["result"]
        expect(answer["result"] is None and isinstance(error, dict), f"{what}: a failure without its form: {answer}")
        expect(isinstance(error.get("code"), int) and error.get("message") and error.get("status"), f"{what}: {answer}")
        return error

    def list(self, path, **query):
        where = path + ("?" + urllib.parse.urlencode(query) if query else "")
        result = self.call("GET", where)
        expect_fields(result, ("elements", "size", "total"), where)
        expect(len(result["elements"]) == result["size"] <= result["total"], f"GET {where}: {result}")
        return result["elements"]

    def first(self, path, **query):
        elements = self.list(path, **query)
        expect(elements, f"GET {path} {query}: the list is empty")
        expect_fields(elements[0], ("uuid", "name"), path)
        return elements[0]

    def wait(self, path, key, is_so, what, seconds):
        deadline = time.monotonic() + seconds
        while True:
            thing = self.call("GET", path)[key]
            if is_so(thing):
                return thing
            expect(time.monotonic() < deadline, f"{what}: not so after {seconds} s: {thing}")
            time.sleep(0.2)

    def wait_gone(self, path, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.call("GET", path, status=404)
                return
            except Deviation as deviation:
                if time.monotonic() > deadline:
                    raise Deviation(f"it stays after {seconds} s: {deviation}") from None
                time.sleep(0.2)


def log_in(client, user, password):
    error = client.call("GET", "/v1/az", status=401)
    expect(error["status"] == "UNAUTHENTICATED", f"without a token: {error}")
    session = client.call("POST", "/v1/login", {"user_name": user, "password": password})["user"]
    expect_fields(session, ("uuid", "user_uuid", "created_at", "expired_at"), "login")
    expect(is_uuid(session["uuid"]) and is_uuid(session["user_uuid"]), f"login: {session}")
    expect(all(TIME.match(session[name]) for name in ("created_at", "expired_at")), f"login: {session}")
    client.token = session["uuid"]
    client.call("POST", "/v1/auth", {"token": client.token})


def log_out(client):
    token, client.token = client.token, None
    client.call("POST", "/v1/logout", {"token": token})
    client.token = token
    client.call("GET", "/v1/az", status=401)


class Flow:
    """The life of one VM, and what it needs."""

    def __init__(self, client, arguments):
        self.client, self.arguments = client, arguments
        self.name = f"flow-{uuid.uuid4().hex[:8]}"
        self.undo = []

    def place(self):
        self.az = self.client.first("/v1/az")["uuid"]
        clusters = f"/v1/az/{self.az}/cluster"
        cluster = self.client.first(clusters)
        expect(cluster["hypervisor_type"] == "kvm" and cluster["az_uuid"] == self.az, f"cluster: {cluster}")
        self.cluster, self.base = cluster["uuid"], f"{clusters}/{cluster['uuid']}"
        self.client.call("GET", self.base)
        self.client.call("POST", clusters, {"name": "second", "hypervisor_type": "kvm", "arch": "x86_64"}, status=403)
        host = self.client.first(f"{self.base}/host", state=1)
        expect(host["monitor_state"] == 0 and host["total_memory"] > 0, f"host: {host}")
        self.client.first("/v1/storage_pool")

    def specs(self):
        body = {"name": self.name, "vcpus": 1, "memory": self.arguments.memory_mib << 20, "type": 0, "description": "flow"}
        spec = self.client.call("POST", "/v1/instance_spec", body)["instance_spec"]
        self.spec = spec["uuid"]
        self.undo.append(f"/v1/instance_spec/{self.spec}")
        expect(spec["vcpus"] == 1 and spec["memory"] == body["memory"], f"instance_spec: {spec}")
        self.volume_spec = self.client.first("/v1/volume_spec")["uuid"]

    def image(self):
        if self.arguments.image:
            return self.client.first("/v1/image", name=self.arguments.image)["uuid"]
        body = {"name": self.name, "install_url": self.arguments.image_url, "format": "qcow2"}
        image = self.client.call("POST", "/v1/image/public", body)["image"]
        self.undo.append(f"/v1/image/{image['uuid']}")
        self.client.wait(f"/v1/image/{image['uuid']}", "image", lambda i: i["state"] == 1 and not i["operation"], "image", self.arguments.wait)
        return image["uuid"]

    def subnet(self):
        networks = self.client.list(f"{self.base}/network", state=1)
        named = [n for n in networks if n["name"] == self.arguments.network] or networks
        expect(named, "there is no network that is on")
        subnet = self.client.first(f"{self.base}/network/{named[0]['uuid']}/subnet")
        expect(subnet["network_uuid"] == named[0]["uuid"], f"subnet: {subnet}")
        return subnet["uuid"]

    def create(self):
        nic = {"name": "eth0", "subnet_uuid": self.subnet(), "sg_uuid": self.client.first("/v1/securitygroup")["uuid"], "primary": 1}
        root = {"name": "root", "size": self.arguments.disk_gib * GIBIBYTE, "volume_spec_uuid": self.volume_spec, "root": 1}
        root["image_uuid"] = self.image()
        body = {"az_uuid": self.az, "cluster_uuid": self.cluster, "instance_spec_uuid": self.spec, "name": self.name}
        body.update(nics=[nic], volumes=[root], description="made by the flow")
        wrong = dict(body, volumes=[dict(root, size=10)])
        self.client.call("POST", "/v1/vm", wrong, status=400)
        vm = self.client.call("POST", "/v1/vm", body)["vm"]
        self.path = f"/v1/vm/{vm['uuid']}"
        self.undo.append(f"{self.path}?force_del=true")
        expect_fields(vm, VM_FIELDS, "vm")
        expect(vm["state"] == STATE_CREATING and vm["name"] == self.name, f"create: {vm}")
        vm = self.settled(STATE_RUNNING, "create")
        expect(vm["nics"][0]["mac"] and vm["volumes"][0]["root"] == 1, f"parts: {vm}")
        task = vm["tasks"][0]
        expect(task["operation_name"] == "create" and task["state"] == 1 and TIME.match(task["finished_at"]), f"task: {task}")
        listed = self.client.first("/v1/vm", name=self.name)
        expect(listed["last_operation_name"] == "create" and listed["nics"] == [], f"list: {listed}")

    def settled(self, state, what):
        return self.client.wait(self.path, "vm", lambda vm: not vm["operation"] and vm["state"] == state, what, self.arguments.wait)

    def operate(self, verb, state):
        answer = self.client.call("PUT", f"{self.path}/{verb}")
        expect(answer == {"vm": "ok"}, f"{verb}: {answer}")
        self.settled(state, verb)

    def delete(self):
        self.client.call("DELETE", self.path, status=400)
        self.operate("stop", STATE_STOPPED)
        expect(self.client.call("DELETE", self.path) == {"vm": "ok"}, "delete")
        self.client.wait_gone(self.path, self.arguments.wait)
        self.undo = [path for path in self.undo if not path.startswith(self.path)]

    def clean(self):
        while self.undo:
            path = self.undo.pop()
            self.client.call("DELETE", path)
            self.client.wait_gone(path.split("?")[0], self.arguments.wait)

    def run(self):
        for step in (self.place, self.specs, self.create):
            step()
        self.operate("stop", STATE_STOPPED)
        self.operate("start", STATE_RUNNING)
        self.delete()
        self.clean()


def arguments_of(line):
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=env("CHIMESTACK_URL", "http://127.0.0.1:8801"))
    parser.add_argument("--user", default=env("CHIMESTACK_USER", "admin"))
    parser.add_argument("--password", default=env("CHIMESTACK_PASSWORD"), help="better in the environment or a file")
    parser.add_argument("--password-file", default=env("CHIMESTACK_PASSWORD_FILE"))
    parser.add_argument("--image", default=env("CHIMESTACK_IMAGE"), help="name of an image that is there")
    parser.add_argument("--image-url", default=env("CHIMESTACK_IMAGE_URL"), help="address of an image to add")
    parser.add_argument("--network", default=env("CHIMESTACK_NETWORK", "default"))
    parser.add_argument("--memory-mib", type=int, default=int(env("CHIMESTACK_MEMORY_MIB", "128")))
    parser.add_argument("--disk-gib", type=int, default=int(env("CHIMESTACK_DISK_GIB", "1")))
    parser.add_argument("--wait", type=float, default=float(env("CHIMESTACK_WAIT", "120")), help="seconds for each change")
    arguments = parser.parse_args(line)
    if arguments.password is None and arguments.password_file:
        with open(arguments.password_file, encoding="utf-8") as file:
            arguments.password = file.read().strip()
    if arguments.password is None:
        parser.error("give --password, --password-file or CHIMESTACK_PASSWORD")
    if not (arguments.image or arguments.image_url):
        parser.error("give --image or --image-url")
    return arguments


def main(line=None):
    arguments = arguments_of(line)
    client = Client(arguments.url, 60)
    flow = Flow(client, arguments)
    try:
        log_in(client, arguments.user, arguments.password)
        flow.run()
        log_out(client)
    except Deviation as deviation:
        print(f"chimestack_flow: {deviation}", file=sys.stderr)
        try:
            flow.clean()
        except (Deviation, KeyError, TypeError) as left:
            print(f"chimestack_flow: left behind: {left}", file=sys.stderr)
        return 1
    except (KeyError, IndexError, TypeError) as error:
        print(f"chimestack_flow: an answer lacks {error!r}", file=sys.stderr)
        return 1
    print("chimestack_flow: every answer was as documented")
    return 0


if __name__ == "__main__":
    sys.exit(main())
