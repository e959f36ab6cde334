-- SPDX-License-Identifier: GPL-3.0-or-later
-- Connections to agents end soon after the agent's network has vanished.
--
-- nginx would wait for an answer as long as an application may be slow. The kernel knows better: a
-- machine that is there acknowledges what it is sent, however slow its application is. So each
-- worker looks through its own descriptors twice a second and has the kernel probe the idle ones
-- among its connections to agents, and end those whose peer acknowledges nothing (tcp(7)). nginx
-- has no such setting: its proxy_socket_keepalive uses the system's times, which are hours.

local ffi = require "ffi"
local failures = require "clusterops.failures"
local pool = require "clusterops.pool"

local _M = {}

ffi.cdef [[
typedef struct {
    uint16_t family;
    uint8_t port[2];
    uint8_t address[4];
    uint8_t rest[20];
} clusterops_address;

// The beginning of struct tcp_info of linux/tcp.h.
typedef struct {
    uint8_t state, congestion_state, retransmits, probes, rest[4];
    uint32_t times_and_counts[12];
    uint32_t last_ack_recv;
} clusterops_tcp_info;

int getpeername(int fd, void *address, uint32_t *size);
int getsockopt(int fd, int level, int name, void *value, uint32_t *size);
int setsockopt(int fd, int level, int name, const void *value, uint32_t size);
]]

local AF_INET = 2
local SOL_SOCKET, SO_KEEPALIVE = 1, 9
local IPPROTO_TCP = 6
local TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_INFO, TCP_USER_TIMEOUT = 4, 5, 6, 11, 18
local FIRST_DESCRIPTOR = 3
-- Descriptors of a worker that are no connections: listeners, logs, channels, event loop.
local OTHER_DESCRIPTORS = 256
-- Descriptors are given out from the lowest: after so many free ones nothing follows.
local GAP = 512
local EBADF = 9
-- Nobody is there when data was repeated so often without an acknowledgement, or a probe (one second
-- after the last one) has got none for longer than a local network takes.
local REPEATED = 2
local PROBED_MS = 1100

local C = ffi.C
local address = ffi.new("clusterops_address")
local size = ffi.new("uint32_t[1]")
local number = ffi.new("int32_t[1]")
local info = ffi.new("clusterops_tcp_info")

local limit_ms, last_descriptor

function _M.configure(settings)
    limit_ms = settings.vanish_timeout_s * 1000
    last_descriptor = settings.worker_connections + OTHER_DESCRIPTORS
end

-- An address as one number.
local function key_of(a, b, c, d, port)
    return (((a * 256 + b) * 256 + c) * 256 + d) * 65536 + port
end

local function agents_by_address()
    local found = {}
    for _, agent in ipairs(pool.all()) do
        local a, b, c, d = agent.host:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
        found[key_of(a, b, c, d, agent.port)] = agent
    end
    return found
end

local function set(fd, level, name, value)
    number[0] = value
    C.setsockopt(fd, level, name, number, 4)
end

local function is_set(fd)
    size[0] = 4
    return C.getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, number, size) == 0
        and number[0] == limit_ms
end

local function watch(fd)
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1)
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1)
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, math.max(1, math.floor(limit_ms / 1000)))
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, limit_ms)
end

local function is_unanswered(fd)
    size[0] = ffi.sizeof(info)
    if C.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, size) ~= 0 then
        return false
    end
    return info.retransmits >= REPEATED or (info.probes > 0 and info.last_ack_recv >= PROBED_MS)
end

-- The address of the other side as one number; nil for what is no connection to an IPv4 address,
-- false for a descriptor that is free.
local function peer(fd)
    size[0] = ffi.sizeof(address)
    if C.getpeername(fd, address, size) ~= 0 then
        if ffi.errno() == EBADF then
            return false
        end
        return nil
    elseif address.family ~= AF_INET then
        return nil
    end
    local ip, port = address.address, address.port
    return key_of(ip[0], ip[1], ip[2], ip[3], port[0] * 256 + port[1])
end

function _M.look()
    local agents = agents_by_address()
    if next(agents) == nil then
        return
    end
    local free = 0
    for fd = FIRST_DESCRIPTOR, last_descriptor do
        local there = peer(fd)
        free = there == false and free + 1 or 0
        if free == GAP then
            break
        end
        local agent = there and agents[there]
        if agent then
            if not is_set(fd) then
                watch(fd)
            end
            -- The next requests need not find out as well.
            if is_unanswered(fd) then
                failures.note_unreachable(agent, true)
            end
        end
    end
end

return _M
