-- SPDX-License-Identifier: GPL-3.0-or-later
-- Counters of all workers, shown in Prometheus' text format.

local pool = require "clusterops.pool"

local dict = ngx.shared.clusterops_metrics

local _M = {}

local PREFIX = "clusterops_load_balancer_"

function _M.request(agent, status)
    if not agent or agent == "" then
        agent = "none"
    end
    dict:incr("r:" .. agent .. ":" .. math.floor(status / 100) .. "xx", 1, 0)
end

function _M.connect_failure(agent)
    dict:incr("c:" .. agent .. ":", 1, 0)
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
        lines[#lines + 1] = string.format('%s%s{agent="%s"} %d', PREFIX, name, agent.name,
            value_of(agent))
    end
end

function _M.text()
    local lines = {}
    local keys = dict:get_keys(0)
    table.sort(keys)
    counter(lines, keys, "r", "requests_total",
        "Requests answered, by the agent that had them last and the class of the status.", "status")
    counter(lines, keys, "c", "connect_failures_total",
        "Tries that could not reach the agent.")
    gauge(lines, "in_flight_requests", "Requests an agent is working on.",
        function(agent) return agent.in_flight end)
    gauge(lines, "in_service", "1 while an agent gets new requests.",
        function(agent) return agent.state == "in_service" and 1 or 0 end)
    gauge(lines, "passed_over", "1 while an agent is passed over because it was not reached.",
        function(agent) return pool.is_failing(agent.name) and 1 or 0 end)
    return table.concat(lines, "\n") .. "\n"
end

return _M
