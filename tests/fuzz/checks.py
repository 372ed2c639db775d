"""What schemathesis must know of these APIs: how to log in, and the checks that it words in HTTP statuses, in the words of each API.

Read by tests/fuzz-api. FUZZ_DIALECT, FUZZ_URL, FUZZ_NATIVE_URL, FUZZ_PASSWORD and FUZZ_SEED say what is tried.
"""

import copy
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import requests
import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi import checks as stock

from things import Things

DIALECT, URL = os.environ["FUZZ_DIALECT"], os.environ["FUZZ_URL"]
ACCOUNT = {"user_name": "admin", "password": os.environ["FUZZ_PASSWORD"]}
# These end the token they are called with.
ENDS_A_SESSION = {"/v1/user/logout", "/v1/user/refresh", "/identity/v3/auth/tokens", "/v3/auth/tokens"}
# Longest wait that a request may ask for: the run is to end.
WAIT_SECONDS_MAX = 1


def log_in():
    if DIALECT == "native":
        answer = requests.post(URL + "/v1/user/login", json=ACCOUNT, timeout=30).json()
        return answer["data"]["token"]
    if DIALECT == "chimestack":
        answer = requests.post(URL + "/v1/login", json=ACCOUNT, timeout=30).json()
        return answer["result"]["user"]["uuid"]
    user = {"name": ACCOUNT["user_name"], "password": ACCOUNT["password"], "domain": {"id": "default"}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}},
                     "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}}
    answer = requests.post(URL + "/identity/v3/auth/tokens", json=body, timeout=30)
    return answer.headers["X-Subject-Token"]


TOKEN = log_in()
THINGS = Things(DIALECT, URL, os.environ["FUZZ_NATIVE_URL"], ACCOUNT, int(os.environ["FUZZ_SEED"]))


@schemathesis.auth(refresh_interval=None)
class Session:
    def get(self, case, context):
        return log_in() if case.operation.path in ENDS_A_SESSION else TOKEN

    def set(self, case, token, context):
        if DIALECT == "openstack":
            case.headers["X-Auth-Token"] = token
        else:
            case.headers["Authorization"] = "Bearer " + token if DIALECT == "chimestack" else token


def shortened(fields):
    """Waits that are right are made short; wrong ones stay as they are."""
    if isinstance(fields, dict):
        for name in ("wait_seconds", "timeout_seconds"):
            value = fields.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and WAIT_SECONDS_MAX < value <= 300:
                fields[name] = WAIT_SECONDS_MAX
            elif isinstance(value, str) and value.isdigit() and WAIT_SECONDS_MAX < int(value) <= 300:
                fields[name] = str(WAIT_SECONDS_MAX)
        for entry in fields.get("list") or [] if isinstance(fields.get("list"), list) else []:
            shortened(entry)
    return fields


@schemathesis.hook
def map_case(context, case):
    shortened(case.body)
    shortened(case.query)
    # What is to be wrong stays wrong.
    if not case.meta or not case.meta.generation.mode.is_negative:
        THINGS.put_into_case(case)
    return case


def code_of(response):
    """The number in a native answer, which is HTTP 200 whatever happened; None for what is no envelope."""
    try:
        return response.json().get("status_code")
    except (ValueError, AttributeError):
        return None


def in_http_words(response):
    """A native answer with the HTTP status that its number would have elsewhere; a batch with an entry that was refused is a refusal."""
    spoken, code = copy.copy(response), code_of(response)
    if response.status_code != 200 or code is None:
        return spoken
    data = response.json().get("data")
    if code:
        spoken.status_code = {10004: 405, 10100: 401, 10101: 401, 10102: 401}.get(code, 400)
    elif isinstance(data, dict) and data.get("fail"):
        spoken.status_code = 400
    return spoken


class Broken(Failure):
    __slots__ = ()


def broken(case, what):
    raise Broken(operation=case.operation.label, title="Not as this API promises", message=what)


if DIALECT == "native":

    @schemathesis.check
    def native_negative_data_rejection(ctx, response, case):
        """negative_data_rejection, which looks at HTTP statuses, for an API that says everything with HTTP 200."""
        return stock.negative_data_rejection(ctx, in_http_words(response), case)

    @schemathesis.check
    def native_missing_required_header(ctx, response, case):
        """missing_required_header likewise: without a token it is 10100."""
        return stock.missing_required_header(ctx, in_http_words(response), case)

    @schemathesis.check
    def native_unsupported_method(ctx, response, case):
        """unsupported_method likewise: a wrong method is 10004."""
        if case.method.upper() != case.operation.method.upper() and case.method.upper() != "HEAD" and code_of(response) != 10004:
            broken(case, f"{case.method} is answered with {response.status_code} {code_of(response)}, not with 10004")

    @schemathesis.check
    def native_no_internal_error(ctx, response, case):
        """not_a_server_error likewise: 10000 is this API's 500."""
        if code_of(response) == 10000:
            broken(case, "an internal error: " + response.text[:500])


if DIALECT == "openstack":
    # A JSON patch is JSON.
    schemathesis.serializer.alias("application/openstack-images-v2.1-json-patch", "application/json")

    @schemathesis.check
    def openstack_no_server_error(ctx, response, case):
        """not_a_server_error, but for 501, which is this API's word for what a node does not do; only where the document says so."""
        raw = case.operation.definition.raw
        is_said = raw.get("x-not-supported") or case.operation.path.endswith("/servers/{id}/action")
        if response.status_code >= 500 and not (response.status_code == 501 and is_said):
            broken(case, f"{response.status_code}: {response.text[:500]}")

    @schemathesis.check
    def openstack_unsupported_method(ctx, response, case):
        """unsupported_method, but where the version is malformed: it is negotiated before anything else, as Nova does."""
        is_about_version = response.status_code in (400, 406) and "ersion" in response.text
        if case.method.upper() != case.operation.method.upper() and not is_about_version:
            return stock.unsupported_method(ctx, response, case)


@schemathesis.check
def no_answer_without_a_token(ctx, response, case):
    """ignored_auth in the words of each API: what was answered with a token is refused without one."""
    if case.operation.path in SEEN or response.status_code >= 300:
        return
    SEEN.add(case.operation.path)
    security = case.operation.definition.raw.get("security")
    if security == [] or case.method.upper() != case.operation.method.upper():
        return
    request = response.request
    headers = {name: value for name, value in request.headers.items() if name.lower() not in ("authorization", "x-auth-token")}
    answer = requests.request(request.method, request.url, headers=headers, data=request.body, timeout=30)
    is_refused = code_of(answer) == 10100 if DIALECT == "native" else answer.status_code == 401
    if not is_refused and case.method.upper() != "HEAD":
        broken(case, f"without a token: {answer.status_code} {answer.text[:200]}")


SEEN = set()
