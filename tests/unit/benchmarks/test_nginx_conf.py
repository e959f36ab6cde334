# SPDX-License-Identifier: GPL-3.0-or-later
"""The static rival of the benchmark: the role's configuration without what is dynamic."""

from __future__ import annotations

import pytest

from benchmarks.balancers.nginx_conf import Static, parse, render, static

CONFIGURATION = r"""
# A comment; with { marks }
pid /run/nginx.pid;
error_log /var/log/nginx/error.log warn;
http {
    lua_shared_dict pool 1m;
    log_format lines escape=json '{"agent":"$lb_agent",'
        '"status":$status}';
    map $http_upgrade $lb_upgrade { default ""; ~*^websocket$ websocket; }
    upstream agents {
        server 0.0.0.1;
        balancer_by_lua_block { require("pool").run() }
    }
    server {
        listen 0.0.0.0:80 default_server backlog=4096;
        access_log /var/log/nginx/access.log lines buffer=64k;
        location / {
            proxy_pass http://agents;
            proxy_connect_timeout 2s;
            add_header X-Served-By $lb_agent always;
            log_by_lua_block { local text = "}" -- and }
                return { text, '{' } }
            error_page 502 = @sorry;
        }
        location @sorry { content_by_lua_block { ngx.say([[ } ]]) } }
    }
    server {
        listen 127.0.0.1:8081;
        location / { content_by_lua_block { ngx.say("admin") } }
    }
    init_by_lua_block { --[[ } ]] x = {} }
}
"""
INSTEAD = Static(["127.0.0.1:1", "127.0.0.1:2"], 9000, "/f", keepalive=["keepalive 128"])


def test_what_is_dynamic_is_replaced_and_the_rest_stays() -> None:
    text = static(CONFIGURATION, INSTEAD)
    assert "lua" not in text
    assert "@sorry" not in text
    assert "8081" not in text
    assert "listen 127.0.0.1:9000 backlog=4096;" in text
    assert "proxy_connect_timeout 2s;" in text
    assert "~*^websocket$ websocket;" in text
    assert "access_log /f/access.log lines buffer=64k;" in text
    assert "add_header X-Served-By $upstream_addr always;" in text
    upstream = next(d for d in parse(text)[-1].block or [] if d.name == "upstream")
    assert [d.words for d in upstream.block or []] == [
        ["least_conn"],
        ["server", "127.0.0.1:1"],
        ["server", "127.0.0.1:2"],
        ["keepalive", "128"],
    ]


def test_servers_may_be_in_a_file_and_take_turns() -> None:
    text = static(CONFIGURATION, Static([], 9000, "/f", method=""))
    assert "include /f/servers.conf;" in text
    assert "least_conn" not in text


def test_what_was_rendered_is_read_as_the_same() -> None:
    directives = parse(static(CONFIGURATION, INSTEAD))
    assert parse(render(directives)) == directives


@pytest.mark.parametrize(
    "text", ["http { server {}", "http { } }", "http { log_by_lua_block { '}' }"]
)
def test_blocks_that_do_not_end_are_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"end|too many"):
        parse(text)
