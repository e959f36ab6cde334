-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a request would cost on an agent; the cheapest one gets it. See memory.lua for the numbers.

local memory = require "clusterops.memory"

local _M = {}

local exp, max = math.exp, math.max

-- Seconds in which an old latency loses two thirds of its weight.
local DECAY_S = 10
-- nginx measures in milliseconds: below that agents are equally fast.
local LEAST_S = 0.0005
-- Weight of an agent at the beginning of its slow start.
local LEAST_WEIGHT = 0.1

local slow_start_s = 0

-- The share of an agent, below 1 while it starts slowly.
local function weight(slot, now)
    local served = now - memory.ramp_from[slot]
    if served >= slow_start_s then
        return 1
    end
    return max(LEAST_WEIGHT, served / slow_start_s)
end

function _M.least_connections(slot, in_flight, now)
    return in_flight / weight(slot, now)
end

-- The latency as far as it is still to be believed. An agent without requests is forgotten slowly
-- and tried again; one without any counts as fast until it has shown what it is.
local function believed(slot, now)
    return memory.latency[slot] * exp((memory.latency_at[slot] - now) / DECAY_S)
end

function _M.peak_ewma(slot, in_flight, now)
    local latency = max(LEAST_S, believed(slot, now))
    return latency * (in_flight + 1) / weight(slot, now)
end

-- A latency that was seen: a worse one counts at once, a better one by and by.
function _M.observe(slot, seconds, now)
    local kept = exp((memory.latency_at[slot] - now) / DECAY_S)
    local average = memory.latency[slot]
    if seconds > average * kept then
        memory.latency[slot] = seconds
    else
        memory.latency[slot] = average * kept + seconds * (1 - kept)
    end
    memory.latency_at[slot] = now
end

function _M.configure(settings)
    slow_start_s = settings.slow_start_s
    _M.cost = _M[settings.algorithm]
    _M.needs_latency = settings.algorithm == "peak_ewma"
end

return _M
