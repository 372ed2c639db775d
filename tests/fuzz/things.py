"""What there is on the node, so that requests are also about things that exist: random uuids alone would never come past "not found"."""

import random

import requests


class Things:
    """Uuids by the name that they are asked for with; renewed now and then, because requests delete."""

    RENEWED_AFTER = 40

    def __init__(self, dialect, url, native_url, account, seed):
        self.dialect, self.url, self.native_url, self.account = dialect, url, native_url, account
        self.chance, self.known, self.age, self.serial = random.Random(seed), {}, self.RENEWED_AFTER, 0
        answer = requests.post(native_url + "/v1/user/login", json=account, timeout=30).json()
        self.headers = {"Authorization": answer["data"]["token"]}

    def native(self, method, path, body=None):
        answer = requests.request(method, self.native_url + path, json=body, headers=self.headers, timeout=60)
        return answer.json().get("data") or {}

    def listed(self, resource, field):
        found = self.native("GET", f"/v1/{resource}/list?page_size=20").get("list") or []
        return [entry[field] for entry in found if entry.get(field)]

    def renew(self):
        self.age, self.serial = 0, self.serial + 1
        name = f"{self.dialect}-{self.serial}"
        if len(self.listed("image", "image_uuid")) < 2:
            self.native("POST", "/v1/image/create", {"image_name": name, "url": "http://images.test/a.qcow2", "format": "qcow2"})
        if len(self.listed("specification", "specification_uuid")) < 2:
            self.native("POST", "/v1/specification/create", {"specification_name": name, "cpu_cores": 1, "memory_size": 64 << 20})
        images = self.listed("image", "image_uuid")
        if images and len(self.listed("vm", "vm_uuid")) < 3:
            self.native("POST", "/v1/vm/create", {"vm_name": name, "cpu_cores": 1, "memory_size": 64 << 20, "image_uuid": images[0],
                                                  "usds": [{"storage_size": 1 << 20}]})
        fields = {"vm": "vm_uuid", "image": "image_uuid", "specification": "specification_uuid", "usd": "usd_uuid", "network": "network_uuid",
                  "host": "host_uuid", "repository": "repository_uuid", "job": "job_uuid", "operation_log": "operation_log_uuid",
                  "user": "user_uuid", "tenant": "tenant_uuid"}
        self.known = {field: self.listed(resource, field) for resource, field in fields.items()}
        if self.dialect == "chimestack":
            self.renew_chimestack()
        if self.dialect == "openstack":
            self.renew_openstack()

    def elements(self, path):
        return [entry["uuid"] for entry in self.own(path)["result"]["elements"]]

    def own(self, path):
        token = requests.post(self.url + "/v1/login", json=self.account, timeout=30).json()["result"]["user"]["uuid"]
        return requests.get(self.url + path, headers={"Authorization": "Bearer " + token}, timeout=30).json()

    def renew_chimestack(self):
        known = self.known
        az, = self.elements("/v1/az")
        cluster, = self.elements(f"/v1/az/{az}/cluster")
        root = f"/v1/az/{az}/cluster/{cluster}"
        networks = known["network_uuid"]
        known.update({
            "az_uuid": [az], "cluster_uuid": [cluster], "instance_spec_uuid": known["specification_uuid"], "volume_uuid": known["usd_uuid"],
            "volume_spec_uuid": self.elements("/v1/volume_spec"), "sg_uuid": self.elements("/v1/securitygroup"),
            "nic_uuid": self.elements("/v1/nic"), "interface_uuid": self.elements("/v1/nic"),
            "subnet_uuid": self.elements(f"{root}/network/{networks[0]}/subnet") if networks else [],
        })
        words = {"VmUuid": "vm_uuid", "ImageUuid": "image_uuid", "InstanceSpecUuid": "instance_spec_uuid", "VolumeUuid": "volume_uuid",
                 "VolumeSpecUuid": "volume_spec_uuid", "NetworkUuid": "network_uuid", "HostUuid": "host_uuid", "AzUuid": "az_uuid",
                 "ClusterUuid": "cluster_uuid", "SgUuid": "sg_uuid", "NicUuid": "nic_uuid", "SubnetUuid": "subnet_uuid", "UserUuid": "user_uuid"}
        known.update({word: known[field] for word, field in words.items()})

    def renew_openstack(self):
        self.known.update({"imageRef": self.known["image_uuid"], "flavorRef": self.known["specification_uuid"]})

    def instead(self, name, path):
        """Something that exists under this name of a field, about every second time."""
        if name == "id":
            of_path = {"servers": "vm_uuid", "flavors": "specification_uuid", "images": "image_uuid", "volumes": "usd_uuid",
                       "networks": "network_uuid", "os-hypervisors": "host_uuid"}
            name = next((field for word, field in of_path.items() if f"/{word}/" in path), name)
        found = self.known.get(name)
        return self.chance.choice(found) if found and self.chance.random() < 0.6 else None

    def put_into(self, fields, path):
        if isinstance(fields, list):
            for entry in fields:
                self.put_into(entry, path)
        if not isinstance(fields, dict):
            return
        for name, value in list(fields.items()):
            if isinstance(value, (dict, list)):
                self.put_into(value, path)
                continue
            better = self.instead(name, path) if isinstance(value, str) else None
            if better:
                fields[name] = better

    def put_into_case(self, case):
        self.age += 1
        if self.age > self.RENEWED_AFTER:
            self.renew()
        for fields in (case.path_parameters, case.query, case.body):
            self.put_into(fields, case.operation.path)
