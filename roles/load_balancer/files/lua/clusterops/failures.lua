-- SPDX-License-Identifier: GPL-3.0-or-later
-- Agents that are passed over for a while: because they could not be reached, or because they
-- answered with errors (outliers). Found out by what happens to clients' requests.

local memory = require "clusterops.memory"
local metrics = require "clusterops.metrics"
local pool = require "clusterops.pool"

local _M = {}

local max, min = math.max, math.min

-- An ejection lasts at most so many times the first one.
local LONGEST = 10

local settings

function _M.configure(values)
    settings = values
end

-- Whether an agent would get requests in the ordinary way.
local function fine(slot, now)
    return memory.failing_until[slot] <= now and memory.ejected_until[slot] <= now
        and memory.unhealthy[slot] == 0
end

-- Whether one more may be ejected: neither too many nor the last that is fine.
local function may_eject(agent, now)
    local agents = pool.in_service()
    local ejected, others = 1, 0
    for _, other in ipairs(agents) do
        if memory.ejected_until[other.slot] > now then
            ejected = ejected + 1
        end
        if other.slot ~= agent.slot and fine(other.slot, now) then
            others = others + 1
        end
    end
    return others > 0 and ejected * 100 <= settings.ejection_max_percent * #agents
end

local function eject(agent, now)
    local slot = agent.slot
    -- Those that lie back longer than they lasted are forgiven one by one.
    local served = now - memory.ejected_until[slot]
    local forgiven = math.floor(served / settings.ejection_time_s)
    local ejections = max(0, memory.ejections[slot] - forgiven) + 1
    local seconds = settings.ejection_time_s * min(ejections, LONGEST)
    memory.ejections[slot] = ejections
    memory.errors[slot] = 0
    memory.ejected_until[slot] = now + seconds
    memory.ramp_from[slot] = now + seconds
    metrics.ejection(agent.name)
    ngx.log(ngx.WARN, "agent ", agent.name, " is passed over for ", seconds, " s: ",
        settings.ejection_errors, " errors in a row")
end

-- A request ended in an error of the agent's.
function _M.note_error(agent)
    local slot = agent.slot
    local errors = memory.errors[slot] + 1
    memory.errors[slot] = errors
    if settings.ejection_errors == 0 or errors < settings.ejection_errors then
        return
    end
    local now = ngx.now()
    if memory.ejected_until[slot] <= now and may_eject(agent, now) then
        eject(agent, now)
    end
end

-- An agent cannot be reached. vanished: to find that out took a time-out, not a refusal.
function _M.note_unreachable(agent, vanished)
    local till = ngx.now() + settings.fail_timeout_s
    if vanished then
        memory.vanished_until[agent.slot] = till
    end
    memory.failing_until[agent.slot] = till
end

function _M.note_reachable(agent)
    memory.failing_until[agent.slot] = 0
    memory.vanished_until[agent.slot] = 0
end

return _M
