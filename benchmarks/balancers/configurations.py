# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rivals and the upstreams are told. All have two workers or threads."""

from __future__ import annotations

WORKERS = 2

_HEAD = (
    "user www-data;\npid {folder}/nginx.pid;\nworker_processes {workers};\n"
    "error_log {folder}/error.log warn;\ninclude /etc/nginx/modules-enabled/*.conf;\n"
    "events {{ worker_connections 8192; }}\n"
)


def plain_nginx(folder: str, port: int, servers: list[str]) -> str:
    """nginx with nothing but proxy_pass: HTTP/1.0, a connection for each request, its usual log."""
    upstream = "".join(f"        server {server};\n" for server in servers)
    return _HEAD.format(folder=folder, workers=WORKERS) + (
        f"http {{\n    access_log {folder}/access.log;\n"
        f"    upstream agents {{\n{upstream}    }}\n"
        f"    server {{\n        listen 127.0.0.1:{port} backlog=4096;\n"
        "        location / { proxy_pass http://agents; }\n    }\n}\n"
    )


def fast_upstreams(folder: str, servers: list[str]) -> str:
    """nginx that answers from memory."""
    listen = "".join(f"        listen {server} backlog=4096;\n" for server in servers)
    return _HEAD.format(folder=folder, workers=WORKERS) + (
        "http {\n    access_log off;\n    keepalive_requests 1000000000;\n"
        "    keepalive_timeout 75s;\n    default_type application/json;\n"
        f"    server {{\n{listen}"
        """        location / { return 200 '{"working":true}\\n'; }\n    }\n}\n"""
    )


def delayed_upstreams(folder: str, delays: dict[str, float], slots: int) -> str:
    """nginx that takes its time: seconds by address, with so many requests at once on each.

    GET /counts tells how often each was asked. One worker, so that it counts them all.
    """
    servers = "".join(
        f"    server {{\n        listen {server} backlog=4096;\n"
        "        location = /counts { content_by_lua_block {\n"
        '            ngx.say(require("cjson").encode(served)) } }\n'
        "        location / { content_by_lua_block {\n"
        f'            take("{server}", {delay}) }} }}\n    }}\n'
        for server, delay in delays.items()
    )
    return _HEAD.format(folder=folder, workers=1) + (
        "http {\n    access_log off;\n    keepalive_requests 1000000000;\n"
        "    keepalive_timeout 75s;\n    init_by_lua_block {\n"
        '        local semaphore = require "ngx.semaphore"\n'
        "        local slots = {}\n        served = {}\n"
        "        function take(name, seconds)\n"
        "            if not slots[name] then\n"
        f"                slots[name] = semaphore.new({slots})\n"
        "                served[name] = 0\n            end\n"
        "            served[name] = served[name] + 1\n"
        "            slots[name]:wait(30)\n            ngx.sleep(seconds)\n"
        '            slots[name]:post()\n            ngx.say("done")\n        end\n    }\n'
        f"{servers}}}\n"
    )


def haproxy(folder: str, port: int, servers: list[str]) -> str:
    """HAProxy with the same headers, time-outs and log fields.

    Its log goes to a ring whose memory is a file: the cheapest way it has that keeps the lines.
    """
    pool = "".join(f"    server agent-{i} {server}\n" for i, server in enumerate(servers, 1))
    fields = (
        '{"time":"%tr","request_id":"%ID","client":"%ci","method":"%HM","uri":"%HU",'
        '"protocol":"%HV","host":"%[capture.req.hdr(0)]","status":%ST,"request_bytes":%U,'
        '"response_bytes":%B,"duration_ms":%Ta,"agent":"%s","upstream_address":"%si:%sp",'
        '"upstream_connect_ms":"%Tc","upstream_header_ms":"%Tr","termination":"%ts",'
        '"retries":"%rc","user_agent":"%[capture.req.hdr(1)]"}'
    ).replace('"', '\\"')
    return f"""global
    nbthread {WORKERS}
    maxconn 8000
    stats socket {folder}/haproxy.sock mode 600 level admin
    log ring@access format raw local0

ring access
    format raw
    maxlen 2048
    size 67108864
    backing-file {folder}/access.ring

defaults
    mode http
    log global
    option http-keep-alive
    timeout client 75s
    timeout http-keep-alive 75s
    timeout connect 2s
    timeout server 60s
    retries 2
    option redispatch
    http-reuse always

frontend clients
    bind 127.0.0.1:{port} backlog 4096
    unique-id-format %[uuid()]
    http-request capture req.hdr(Host) len 128
    http-request capture req.hdr(User-Agent) len 256
    log-format "{fields}"
    http-request del-header Forwarded
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Request-ID %[unique-id]
    http-response set-header X-Request-ID %[unique-id]
    http-response set-header X-Served-By %s
    default_backend agents

backend agents
    balance leastconn
{pool}"""
