-- SPDX-License-Identifier: GPL-3.0-or-later
-- How long requests took, by agent: a histogram of all workers for Prometheus.
--
-- A request costs two looks at nginx' clock and two additions in a table of its worker; what all
-- have is only touched once a second.

local dict = ngx.shared.clusterops_metrics
local now, start_time = ngx.now, ngx.req.start_time

local _M = {}

local NAME = "clusterops_load_balancer_request_duration_seconds"
-- Upper ends in seconds; the last place is for what took longer.
local ENDS = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10 }
local PLACES = #ENDS + 1
local SUM = PLACES + 1

-- What this worker counted since the last flush: agent -> requests by place, and their seconds.
local counted = {}

-- The request that has just ended. One that changed its protocol (101) is none: it may last for
-- hours.
function _M.observe(agent, status)
    if status == 101 then
        return
    end
    local own = counted[agent]
    if not own then
        own = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
        counted[agent] = own
    end
    local seconds = now() - start_time()
    local place = 1
    while place < PLACES and seconds > ENDS[place] do
        place = place + 1
    end
    own[place] = own[place] + 1
    own[SUM] = own[SUM] + seconds
end

-- Add what this worker counted to what all have.
function _M.flush()
    for agent, own in pairs(counted) do
        for place, value in ipairs(own) do
            if value > 0 then
                dict:incr("d:" .. agent .. ":" .. place, value, 0)
                own[place] = 0
            end
        end
    end
end

-- The histogram's lines; keys are all of the dictionary, in a stable order.
function _M.lines(lines, keys)
    lines[#lines + 1] = "# HELP " .. NAME .. " Seconds from a request's first byte to the end of "
        .. "its answer, by the agent that had it last."
    lines[#lines + 1] = "# TYPE " .. NAME .. " histogram"
    local last
    for _, key in ipairs(keys) do
        local agent = key:match("^d:([^:]*):")
        if agent and agent ~= last then
            last = agent
            local total = 0
            for place = 1, PLACES do
                total = total + (dict:get("d:" .. agent .. ":" .. place) or 0)
                lines[#lines + 1] = string.format('%s_bucket{agent="%s",le="%s"} %d', NAME, agent,
                    ENDS[place] or "+Inf", total)
            end
            lines[#lines + 1] = string.format('%s_sum{agent="%s"} %.6g', NAME, agent,
                dict:get("d:" .. agent .. ":" .. SUM) or 0)
            lines[#lines + 1] = string.format('%s_count{agent="%s"} %d', NAME, agent, total)
        end
    end
end

return _M
