# shellcheck shell=bash
# Calling the native API from a shell: curl and jq. Needs common.sh; the caller sets API_URL, and API_TOKEN by api_login.

API_URL='' API_TOKEN=''

# api GET PATH[?QUERY] | api POST PATH JSON — prints the data of the answer; fails with the node's own words if it says so.
api() {
    local answer arguments=(--silent --show-error --max-time 330 --request "$1" --header 'Content-Type: application/json')
    [ -z "$API_TOKEN" ] || arguments+=(--header "Authorization: $API_TOKEN")
    [ "$1" = GET ] || arguments+=(--data-binary @-)
    answer=$(curl "${arguments[@]}" "$API_URL$2" <<<"${3:-}") || fail "the node does not answer at $API_URL$2"
    if ! jq -e '.status_code == 0' >/dev/null 2>&1 <<<"$answer"; then
        fail "$1 $2 was refused: $(jq -r '"\(.status_code) \(.message)"' <<<"$answer" 2>/dev/null || echo "$answer")"
    fi
    jq -c .data <<<"$answer"
}

# api_login USER PASSWORD
api_login() {
    local answer
    answer=$(api POST /v1/user/login "$(jq -nc --arg user "$1" --arg password "$2" '{user_name: $user, password: $password}')")
    API_TOKEN=$(jq -r .token <<<"$answer")
}

# api_find RESOURCE PATH NAME — uuid of the one with exactly this name, or nothing. api_find vm /v1/vm/list demo
api_find() {
    local answer
    answer=$(api GET "$2?page_size=0&name=$3")
    jq -r --arg kind "$1" --arg name "$3" '[.list[] | select(.[$kind + "_name"] == $name) | .[$kind + "_uuid"]][0] // empty' <<<"$answer"
}

# ensure_image NAME FILE — an image made from a file in the node's import folder, unless there is one of that name.
ensure_image() {
    local uuid
    uuid=$(api_find image /v1/repository/image/list "$1")
    if [ -z "$uuid" ]; then
        uuid=$(api POST /v1/repository/image/create "$(jq -nc --arg name "$1" --arg url "file://$2" \
            '{image_name: $name, url: $url, format: "qcow2", os_type: "linux", wait_seconds: 120}')" | jq -r '.image.image_uuid')
    fi
    echo "$uuid"
}

# ensure_specification NAME CORES MEMORY_MIB
ensure_specification() {
    local uuid
    uuid=$(api_find specification /v1/specification/list "$1")
    if [ -z "$uuid" ]; then
        uuid=$(api POST /v1/specification/create "$(jq -nc --arg name "$1" --argjson cores "$2" --argjson mib "$3" \
            '{specification_name: $name, cpu_cores: $cores, memory_size: ($mib * 1048576)}')" | jq -r '.specification.specification_uuid')
    fi
    echo "$uuid"
}
