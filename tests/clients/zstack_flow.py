#!/usr/bin/env python3
"""The message flow of a ZStack client against a node, typed as its command line sends it: every scalar is a string.

usage: zstack_flow.py [URL [ACCOUNT [PASSWORD]]]
       (or ZSTACK_URL, ZSTACK_ACCOUNT, ZSTACK_PASSWORD; default http://localhost:8080, admin, password)

First the script of the API's own introduction: log in, create a zone, log out. Then the life of a VM, if the node has a usable image
(ZSTACK_IMAGE names one by name, ZSTACK_IMAGE_URL one to fetch). Ends with 0, or with 1 and one line that says what was not as it should be.
"""

import hashlib
import http.client
import json
import os
import re
import sys
import time
import urllib.parse

POLL_SECONDS = 0.5
JOB_SECONDS = 300
DATE = re.compile(r"^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [1-9]\d?, \d{4} (1[0-2]|[1-9]):\d\d:\d\d [AP]M$")
UUID = re.compile(r"^[0-9a-f]{32}$")


class Deviation(Exception):
    """Something is not as the API says."""


def check(is_so, *what):
    if not is_so:
        raise Deviation(" ".join(str(part) for part in what))


class Client:
    """Sends messages as zstack-cli does: POST to /zstack/api/, then asks for the result every half second."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        check(parts.scheme == "http" and parts.hostname, "the URL must be http://HOST:PORT, not", url)
        self.host, self.port = parts.hostname, parts.port or 8080
        self.session = None

    def request(self, method, path, body=None):
        # As the command line: a connection for each request, a length also where there is no body.
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            if body is None:
                headers["Content-Length"] = "0"
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8")
        finally:
            connection.close()
        check(response.status == 200, method, path, "is answered with HTTP", response.status, text[:200])
        job = json.loads(text)
        check(job.get("state") in ("Processing", "Done"), "a job has the state", job.get("state"))
        check(DATE.match(job.get("createdDate", "")), "createdDate is", job.get("createdDate"))
        return job

    def send(self, name, content, is_in_session=True):
        """One message to its end: the class of the answer and what is in it."""
        content = as_text(content)
        if is_in_session:
            content["session"] = {"uuid": self.session}
        job = self.request("POST", "/zstack/api/", json.dumps({name: content}))
        deadline = time.monotonic() + JOB_SECONDS
        while job["state"] != "Done":
            check(UUID.match(job.get("uuid", "")), name, "is processed under the uuid", job.get("uuid"))
            check("result" not in job, name, "has a result before it is done")
            check(time.monotonic() < deadline, name, "does not end within", JOB_SECONDS, "seconds")
            time.sleep(POLL_SECONDS)
            job = self.request("GET", "/zstack/api/result/" + job["uuid"])
        check(DATE.match(job.get("finishedDate", "")), "finishedDate is", job.get("finishedDate"))
        result = json.loads(job["result"])
        check(len(result) == 1, name, "has a result of", len(result), "entries")
        (reply, content), = result.items()
        stem = name[: -len("Msg")]
        check(reply in (stem + "Reply", stem + "Event") or name.endswith("LogInByAccountMsg"), name, "is answered by", reply)
        return reply, content

    def ok(self, name, content, is_in_session=True):
        reply, content = self.send(name, content, is_in_session)
        check(content.get("success") is True, name, "fails:", json.dumps(content.get("error"), ensure_ascii=False))
        return content

    def refused(self, name, content, code):
        _, content = self.send(name, content)
        check(content.get("success") is False, name, "should fail and does not")
        error = content.get("error", {})
        check(error.get("code") == code, name, "should fail with", code, "and fails with", json.dumps(error, ensure_ascii=False))
        check(error.get("description") and error.get("details"), name, "fails without a text")
        return error

    def query(self, name, *conditions, **more):
        rows = [{"name": field, "op": op, "value": value} for field, op, value in conditions]
        return self.ok(name, dict(more, conditions=rows))

    def log_in(self, account, password):
        digest = hashlib.sha512(password.encode("utf-8")).hexdigest()
        name = "org.zstack.header.identity.APILogInByAccountMsg"
        reply, content = self.send(name, {"accountName": account, "password": digest, "session": {}}, is_in_session=False)
        check(content.get("success") is True, "log-in fails:", json.dumps(content.get("error"), ensure_ascii=False))
        check(reply == "org.zstack.header.identity.APILogInReply", "log-in is answered by", reply)
        inventory = content["inventory"]
        check(UUID.match(inventory["uuid"]) and UUID.match(inventory["accountUuid"]), "the session is", inventory)
        check(DATE.match(inventory["expiredDate"]), "expiredDate is", inventory["expiredDate"])
        self.session = inventory["uuid"]

    def log_out(self):
        self.ok("org.zstack.header.identity.APILogOutMsg", {"sessionUuid": self.session}, is_in_session=False)


def as_text(value):
    """Every scalar as the command line sends it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return [as_text(item) for item in value]
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    return value


def script(client, account, password):
    """The introduction's own script, request by request: one connection for a call and its polls, no content type, no slash at the end."""

    def api_call(session, api_id, api_content):
        connection = http.client.HTTPConnection(client.host, client.port, timeout=60)
        if session:
            api_content["session"] = {"uuid": session}

        def ask(method, path, body=None):
            connection.request(method, path, body)
            response = connection.getresponse()
            check(response.status == 200, method, path, "is answered with HTTP", response.status, response.reason)
            return json.loads(response.read())

        try:
            answer = ask("POST", "/zstack/api", json.dumps({api_id: api_content}))
            job = answer.get("uuid")
            deadline = time.monotonic() + JOB_SECONDS
            while answer["state"] != "Done":
                check(time.monotonic() < deadline, api_id, "does not end")
                time.sleep(POLL_SECONDS)
                answer = ask("GET", "/zstack/api/result/%s" % job)
            if job:  # the introduction's text names this path once
                check(ask("GET", "/api/result/%s" % job) == answer, "the path without /zstack gives another job")
        finally:
            connection.close()
        content, = json.loads(answer["result"]).values()
        check(content["success"], api_id, "fails:", json.dumps(content.get("error"), ensure_ascii=False))
        return content

    digest = hashlib.sha512(password.encode("utf-8")).hexdigest()
    session = api_call(None, "org.zstack.header.identity.APILogInByAccountMsg", {"accountName": account, "password": digest})["inventory"]["uuid"]
    zone = api_call(session, "org.zstack.header.zone.APICreateZoneMsg", {"name": "zone1"})["inventory"]["uuid"]
    api_call(session, "org.zstack.header.zone.APIDeleteZoneMsg", {"uuid": zone})
    api_call(None, "org.zstack.header.identity.APILogOutMsg", {"sessionUuid": session})
    print("ok: the script")


def introduction(client, account, password):
    """The messages of the introduction as the command line sends them, and that a session that was logged out is told so."""
    client.log_in(account, password)
    event = client.ok("org.zstack.header.zone.APICreateZoneMsg", {"name": "zone1"})
    zone = event["inventory"]
    for field, expected in (("name", "zone1"), ("state", "Enabled"), ("type", "zstack")):
        check(zone.get(field) == expected, "the zone's", field, "is", zone.get(field))
    check(UUID.match(zone["uuid"]) and DATE.match(zone["createDate"]) and DATE.match(zone["lastOpDate"]), "the zone is", zone)
    found = client.query("org.zstack.header.zone.APIQueryZoneMsg", ("uuid", "=", zone["uuid"]), replyWithCount=True)
    check(found["total"] == 1 and found["inventories"][0]["name"] == "zone1", "the zone is not found:", found)
    client.ok("org.zstack.header.zone.APIDeleteZoneMsg", {"uuid": zone["uuid"], "deleteMode": "Permissive"})
    client.log_out()
    error = client.refused("org.zstack.header.zone.APIQueryZoneMsg", {"conditions": []}, "ID.1001")
    check("Session expired" in error["details"], "a session that is over is told as", error["details"])
    print("ok: log in, zone, log out")


def find_image(client):
    url, name = os.environ.get("ZSTACK_IMAGE_URL"), os.environ.get("ZSTACK_IMAGE")
    if url:
        stores = client.query("org.zstack.header.storage.backup.APIQueryBackupStorageMsg")["inventories"]
        content = {"name": "zstack-flow-image", "url": url, "format": "qcow2", "mediaType": "RootVolumeTemplate",
                   "backupStorageUuids": [store["uuid"] for store in stores]}
        return client.ok("org.zstack.header.image.APIAddImageMsg", content)["inventory"]["uuid"], True
    conditions = [("status", "=", "Ready"), ("mediaType", "=", "RootVolumeTemplate")]
    if name:
        conditions.append(("name", "=", name))
    images = client.query("org.zstack.header.image.APIQueryImageMsg", *conditions)["inventories"]
    check(images or not name, "there is no ready image named", name)
    return (images[0]["uuid"], False) if images else (None, False)


def life_of_a_vm(client):
    image, is_own = find_image(client)
    if image is None:
        print("skipped: the node has no image, the life of a VM is not tried")
        return
    offering = client.ok("org.zstack.header.configuration.APICreateInstanceOfferingMsg",
                         {"name": "zstack-flow-offering", "cpuNum": 1, "memorySize": 256 << 20})["inventory"]["uuid"]
    networks = client.query("org.zstack.header.network.l3.APIQueryL3NetworkMsg", ("state", "=", "Enabled"), limit=1)["inventories"]
    check(networks, "the node has no network")
    name = "zstack-flow-%d" % os.getpid()
    vm = client.ok("org.zstack.header.vm.APICreateVmInstanceMsg", {
        "name": name, "imageUuid": image, "instanceOfferingUuid": offering, "l3NetworkUuids": [networks[0]["uuid"]],
        "systemTags": ["hostname::zstack-flow"]})["inventory"]
    uuid = vm["uuid"]
    try:
        check(vm["state"] == "Running" and vm["hypervisorType"] == "KVM" and vm["type"] == "UserVm", "the new VM is", vm)
        check(vm["cpuNum"] == 1 and vm["memorySize"] == 256 << 20, "the new VM has", vm["cpuNum"], vm["memorySize"])
        check(len(vm["vmNics"]) == 1 and vm["vmNics"][0]["l3NetworkUuid"] == networks[0]["uuid"], "the NICs are", vm["vmNics"])
        check(vm["rootVolumeUuid"] in [volume["uuid"] for volume in vm["allVolumes"]], "the disks are", vm["allVolumes"])
        look_for(client, vm, name)
        change(client, uuid)
    finally:
        remove(client, uuid)
        client.ok("org.zstack.header.configuration.APIDeleteInstanceOfferingMsg", {"uuid": offering})
        if is_own:
            client.ok("org.zstack.header.image.APIDeleteImageMsg", {"uuid": image, "deleteMode": "Permissive"})
    print("ok: the life of a VM")


def look_for(client, vm, name):
    query = "org.zstack.header.vm.APIQueryVmInstanceMsg"
    for condition in (("name", "=", name), ("name", "like", name[:-1] + "_"), ("vmNics.mac", "=", vm["vmNics"][0]["mac"]),
                      ("host.status", "=", "Connected"), ("__systemTag__", "=", "hostname::zstack-flow"),
                      ("uuid", "in", vm["uuid"] + "," + "0" * 32)):
        found = client.query(query, ("uuid", "=", vm["uuid"]), condition, fields=["uuid", "name"])["inventories"]
        check(found == [{"uuid": vm["uuid"], "name": name}], "the condition", condition, "finds", found)
    count = client.query(query, ("uuid", "=", vm["uuid"]), count=True)
    check(count["total"] == 1 and "inventories" not in count, "a count is", count)
    client.refused(query, {"conditions": [{"name": "colour", "op": "=", "value": "red"}]}, "SYS.1007")


def change(client, uuid):
    for name, content, state in (
            ("Pause", {}, "Paused"), ("Resume", {}, "Running"), ("Stop", {"type": "cold"}, "Stopped"), ("Start", {}, "Running"),
            ("Stop", {"type": "cold"}, "Stopped")):
        message = "org.zstack.header.vm.API%sVmInstanceMsg" % name
        inventory = client.ok(message, dict(content, uuid=uuid))["inventory"]
        check(inventory["state"] == state, "after", message, "the VM is", inventory["state"])
    client.refused("org.zstack.header.vm.APIPauseVmInstanceMsg", {"uuid": uuid}, "VM.1010")
    client.refused("org.zstack.header.vm.APIFlyVmInstanceMsg", {"uuid": uuid}, "SYS.1008")
    inventory = client.ok("org.zstack.header.vm.APIUpdateVmInstanceMsg", {"uuid": uuid, "description": "of the flow"})["inventory"]
    check(inventory["description"] == "of the flow", "the description is", inventory.get("description"))


def remove(client, uuid):
    event = client.ok("org.zstack.header.vm.APIDestroyVmInstanceMsg", {"uuid": uuid, "deleteMode": "Permissive"})
    check("inventory" not in event, "a destroy gives an inventory")
    recovered = client.ok("org.zstack.header.vm.APIRecoverVmInstanceMsg", {"uuid": uuid})["inventory"]
    check(recovered["state"] == "Stopped", "a recovered VM is", recovered["state"])
    client.ok("org.zstack.header.vm.APIDestroyVmInstanceMsg", {"uuid": uuid})
    client.ok("org.zstack.header.vm.APIExpungeVmInstanceMsg", {"uuid": uuid})
    left = client.query("org.zstack.header.vm.APIQueryVmInstanceMsg", ("uuid", "=", uuid))["inventories"]
    check(left == [], "an expunged VM is still there:", left)


def main(arguments):
    given = dict(enumerate(arguments))
    url = given.get(0) or os.environ.get("ZSTACK_URL", "http://localhost:8080")
    account = given.get(1) or os.environ.get("ZSTACK_ACCOUNT", "admin")
    password = given.get(2) or os.environ.get("ZSTACK_PASSWORD", "password")
    try:
        client = Client(url)
        script(client, account, password)
        introduction(client, account, password)
        client.log_in(account, password)
        life_of_a_vm(client)
        client.log_out()
    except (Deviation, OSError, ValueError, KeyError, IndexError, http.client.HTTPException) as error:
        print("failed: %s%s" % ("" if isinstance(error, Deviation) else type(error).__name__ + ": ", error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
