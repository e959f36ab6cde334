-- SPDX-License-Identifier: GPL-3.0-or-later
-- Counters of all workers, shown in Prometheus' text format.

local latencies = require "clusterops.latencies"
local memory = require "clusterops.memory"
local pool = require "clusterops.pool"

local dict = ngx.shared.clusterops_metrics

local _M = {}

local PREFIX = "clusterops_load_balancer_"

-- What this worker counted since it was last added to what all have: agent -> class -> requests.
local requests = {}

local floor = math.floor

function _M.request(agent, status)
    if not agent or agent == "" then
        agent = "none"
    end
    local classes = requests[agent]
    if not classes then
        classes = { 0, 0, 0, 0, 0 }
        requests[agent] = classes
    end
    local class = floor(status / 100)
    classes[class] = (classes[class] or 0) + 1
    latencies.observe(agent, status)
end

-- Add what this worker counted to what all have; every second and when the worker ends.
function _M.flush()
    latencies.flush()
    for agent, classes in pairs(requests) do
        for class, count in pairs(classes) do
            if count > 0 then
                dict:incr("r:" .. agent .. ":" .. class .. "xx", count, 0)
                classes[class] = 0
            end
        end
    end
end

function _M.connect_failure(agent)
    dict:incr("c:" .. agent .. ":", 1, 0)
end

function _M.ejection(agent)
    dict:incr("e:" .. agent .. ":", 1, 0)
end

function _M.check(agent, verdict)
    dict:incr("h:" .. agent .. ":" .. verdict, 1, 0)
end

-- Counters of agents in the pool begin at 0: of one that begins with its first event, that event is
-- in no rate.
local function begin_counters()
    for _, agent in ipairs(pool.list()) do
        for _, key in ipairs({ "r:%s:2xx", "r:%s:4xx", "r:%s:5xx", "c:%s:", "e:%s:", "d:%s:1" }) do
            dict:safe_add(key:format(agent.name), 0)
        end
    end
    dict:safe_add("r:none:5xx", 0)
end

-- The lines of one counter, in a stable order.
local function counter(lines, keys, letter, name, help, label)
    lines[#lines + 1] = "# HELP " .. PREFIX .. name .. " " .. help
    lines[#lines + 1] = "# TYPE " .. PREFIX .. name .. " counter"
    for _, key in ipairs(keys) do
        local kind, agent, value = key:match("^(%a):([^:]*):(.*)$")
        if kind == letter then
            local labels = string.format('agent="%s"', agent)
            if label then
                labels = labels .. string.format(',%s="%s"', label, value)
            end
            lines[#lines + 1] = string.format("%s%s{%s} %d", PREFIX, name, labels, dict:get(key))
        end
    end
end

local function gauge(lines, name, help, value_of)
    lines[#lines + 1] = "# HELP " .. PREFIX .. name .. " " .. help
    lines[#lines + 1] = "# TYPE " .. PREFIX .. name .. " gauge"
    for _, agent in ipairs(pool.list()) do
        local value = value_of(agent)
        if value then
            lines[#lines + 1] = string.format('%s%s{agent="%s"} %.6g', PREFIX, name, agent.name,
                value)
        end
    end
end

-- How many agents there are in each state; told for none as well.
local function states(lines)
    local count = { in_service = 0, draining = 0 }
    for _, agent in ipairs(pool.list()) do
        count[agent.state] = (count[agent.state] or 0) + 1
    end
    lines[#lines + 1] = "# HELP " .. PREFIX .. "agents Agents of the pool by state."
    lines[#lines + 1] = "# TYPE " .. PREFIX .. "agents gauge"
    for _, state in ipairs({ "draining", "in_service" }) do
        lines[#lines + 1] = string.format('%sagents{state="%s"} %d', PREFIX, state, count[state])
    end
end

local function is(reason)
    return function(agent)
        return agent.passed_over == reason and 1 or 0
    end
end

function _M.text()
    begin_counters()
    _M.flush()
    local lines = {}
    local keys = dict:get_keys(0)
    table.sort(keys)
    counter(lines, keys, "r", "requests_total",
        "Requests answered, by the agent that had them last and the class of the status.", "status")
    counter(lines, keys, "c", "connect_failures_total",
        "Tries that could not reach the agent.")
    counter(lines, keys, "e", "ejections_total",
        "How often an agent was passed over because of errors in a row.")
    counter(lines, keys, "h", "health_checks_total",
        "Health checks of an agent; a late one counts for nothing while it answers clients.",
        "verdict")
    latencies.lines(lines, keys)
    states(lines)
    gauge(lines, "in_flight_requests", "Requests an agent is working on.",
        function(agent) return agent.in_flight end)
    gauge(lines, "in_service", "1 while an agent gets new requests.",
        function(agent) return agent.state == "in_service" and 1 or 0 end)
    gauge(lines, "passed_over", "1 while an agent is passed over, whatever the reason.",
        function(agent) return agent.passed_over and 1 or 0 end)
    gauge(lines, "unreachable", "1 while an agent is passed over because it was not reached.",
        is("unreachable"))
    gauge(lines, "ejected", "1 while an agent is passed over because of errors in a row.",
        is("ejected"))
    gauge(lines, "healthy", "1 while an agent passes its health checks, if it has any.",
        function(agent) return agent.health_path and (agent.healthy and 1 or 0) end)
    gauge(lines, "latency_seconds", "Moving average of an agent's latency (peak_ewma only).",
        function(agent)
            local known = pool.agent(agent.name)
            return known and memory.latency_at[known.slot] > 0 and memory.latency[known.slot]
        end)
    return table.concat(lines, "\n") .. "\n"
end

return _M
