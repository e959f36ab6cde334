-- SPDX-License-Identifier: GPL-3.0-or-later
-- Active checks: agents that have a health_path are asked for it, by one worker for all.
--
-- An agent that is merely slow must not be taken for a dead one, for then the others get its load
-- as well. So a check that is late counts for nothing as long as clients get answers from it.

local failures = require "clusterops.failures"
local memory = require "clusterops.memory"
local metrics = require "clusterops.metrics"
local pool = require "clusterops.pool"

local dict = ngx.shared.clusterops_pool

local _M = {}

local settings
-- What had been answered by each slot at the check before.
local answered = {}

function _M.configure(values)
    settings = values
end

-- Whether it is this worker that checks. One that dies is replaced after some rounds.
local function is_my_turn()
    local pid = ngx.worker.pid()
    local limit = 3 * settings.interval_s
    if dict:get("checker") == pid then
        dict:set("checker", pid, limit)
        return true
    end
    return dict:add("checker", pid, limit)
end

-- Ask an agent. Returns "passed", "failed", "late", "unreachable" or "vanished", and what happened.
local function ask(agent)
    local socket = ngx.socket.tcp()
    local limit_ms = settings.timeout_s * 1000
    socket:settimeouts(limit_ms, limit_ms, limit_ms)
    local ok, err = socket:connect(agent.host, agent.port)
    if not ok then
        return err == "timeout" and "vanished" or "unreachable", err
    end
    local line
    ok, err = socket:send("GET " .. agent.health_path .. " HTTP/1.1\r\nHost: " .. agent.address
        .. "\r\nUser-Agent: clusterops-load-balancer\r\nAccept: */*\r\nConnection: close\r\n\r\n")
    if ok then
        line, err = socket:receive("*l")
    end
    socket:close()
    local status = line and line:match("^HTTP/1%.%d (%d%d%d)")
    if status then
        return status:match("^[23]") and "passed" or "failed", "it answered " .. status
    end
    return err == "timeout" and "late" or "failed", err or "it did not answer HTTP"
end

local function passed(agent)
    local slot = agent.slot
    memory.checks_failed[slot] = 0
    failures.note_reachable(agent)
    if memory.unhealthy[slot] == 0 then
        return
    end
    memory.checks_passed[slot] = memory.checks_passed[slot] + 1
    if memory.checks_passed[slot] >= settings.rise then
        memory.unhealthy[slot] = 0
        memory.ramp_from[slot] = ngx.now()
        ngx.log(ngx.WARN, "agent ", agent.name, " passes its health checks again")
    end
end

local function failed(agent, reason)
    local slot = agent.slot
    memory.checks_passed[slot] = 0
    memory.checks_failed[slot] = memory.checks_failed[slot] + 1
    if memory.unhealthy[slot] == 0 and memory.checks_failed[slot] >= settings.fall then
        memory.unhealthy[slot] = 1
        ngx.log(ngx.WARN, "agent ", agent.name, " is passed over, ", agent.health_path, ": ",
            reason)
    end
end

local function check(agent)
    local slot = agent.slot
    local before = answered[slot]
    local verdict, reason = ask(agent)
    -- It may have left, or have become another one, in the meantime.
    local now_known = pool.agent(agent.name)
    if not now_known or now_known.generation ~= agent.generation or not now_known.health_path then
        return
    end
    metrics.check(agent.name, verdict)
    answered[slot] = memory.answered[slot]
    if verdict == "passed" then
        passed(agent)
    elseif verdict ~= "late" or before == nil or before == answered[slot] then
        if verdict == "unreachable" or verdict == "vanished" then
            failures.note_unreachable(agent, verdict == "vanished")
        end
        failed(agent, reason)
    end
end

-- One round, all agents at once: one that hangs does not hold up the others.
function _M.round()
    if not is_my_turn() then
        return
    end
    local threads = {}
    for _, agent in ipairs(pool.in_service()) do
        if agent.health_path then
            threads[#threads + 1] = ngx.thread.spawn(check, agent)
        end
    end
    for _, thread in ipairs(threads) do
        ngx.thread.wait(thread)
    end
end

return _M
