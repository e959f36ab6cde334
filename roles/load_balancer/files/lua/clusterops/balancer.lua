-- SPDX-License-Identifier: GPL-3.0-or-later
-- Choosing an agent for a request: the one with the fewest requests in flight.
--
-- nginx asks here for every try. What may be sent a second time is nginx's decision
-- (proxy_next_upstream); an agent that was tried for a request is never tried again for it.

local balancer = require "ngx.balancer"
local metrics = require "clusterops.metrics"
local pool = require "clusterops.pool"

local _M = {}

-- What peer selection returns to nginx when there is nobody: "no live upstreams", a 502 that
-- responses.lua turns into the right answer.
local NGX_BUSY = -3
local REPICK_LIMIT = 20

local random = math.random
local settings

function _M.configure(values)
    settings = values
end

-- The least busy of the agents that were not tried; those that could not be reached a moment ago
-- only if there is nobody else. Ties go to a random one, for the search begins at a random place.
local function least_busy(agents, tried)
    local total = #agents
    if total == 0 then
        return nil, 0
    end
    local any_failing = pool.any_failing()
    local offset = random(total)
    local best, best_load, best_failing
    local untried = 0
    for step = 1, total do
        local agent = agents[(offset + step) % total + 1]
        if not tried[agent.name] then
            untried = untried + 1
            local failing = any_failing and pool.is_failing(agent.name)
            local load = pool.in_flight(agent.name)
            if not best or (best_failing and not failing)
                or (best_failing == failing and load < best_load) then
                best, best_load, best_failing = agent, load, failing
            end
        end
    end
    return best, untried
end

-- Choose and count in one step. An agent that leaves the service between the choice and the count
-- is not used: whoever drains it may already have seen that nothing is in flight.
local function choose(tried)
    local agent, untried
    for _ = 1, REPICK_LIMIT do
        local agents, version = pool.in_service()
        agent, untried = least_busy(agents, tried)
        if not agent then
            return nil, 0
        end
        pool.acquire(agent.name)
        if pool.version() == version then
            return agent, untried
        end
        pool.release(agent.name)
    end
    return nil, 0
end

-- The n-th item of a list of nginx's upstream variables ("0.001, -").
local function nth(list, n)
    local i = 0
    for item in (list or ""):gmatch("[^,:%s]+") do
        i = i + 1
        if i == n then
            return item
        end
    end
end

-- A try failed in connecting when it ended in an error and never had a connection.
local function note_failure(name, try)
    local status = nth(ngx.var.upstream_status, try)
    if (status == "502" or status == "504") and nth(ngx.var.upstream_connect_time, try) == "-" then
        pool.mark_failed(name, settings.fail_timeout_s)
        metrics.connect_failure(name)
    end
end

local function use(agent)
    -- Idle connections are kept per entry into service: one from before a machine's power-off,
    -- whose end never arrived, is not used for the machine that came back with its address.
    local ok, err = balancer.set_current_peer(agent.host, agent.port, "g" .. agent.generation)
    -- Older modules do not know the name, and leave keeping connections to nginx.
    if ok and balancer.enable_keepalive then
        ok, err = balancer.enable_keepalive(settings.keepalive_timeout_s, 0)
    end
    if not ok then
        ngx.log(ngx.ERR, "agent ", agent.name, " at ", agent.address, " cannot be used: ", err)
        return ngx.exit(ngx.ERROR)
    end
end

-- balancer_by_lua: called for the first try and for every further one.
function _M.run()
    local var = ngx.var
    local ctx = ngx.ctx
    local tried = ctx.lb_tried
    local first = not tried
    if first then
        tried = {}
        ctx.lb_tried = tried
        ctx.lb_tries = 0
    else
        local previous = var.lb_agent
        if previous ~= "" then
            note_failure(previous, ctx.lb_tries)
            pool.release(previous)
            var.lb_agent = ""
        end
    end

    local agent, untried = choose(tried)
    if not agent then
        if first then
            var.lb_no_agent = "1"
        end
        return ngx.exit(NGX_BUSY)
    end
    tried[agent.name] = true
    ctx.lb_tries = ctx.lb_tries + 1
    -- A variable, not ngx.ctx: it is still there after nginx's internal redirect to an error page,
    -- so that what was counted is always given back.
    var.lb_agent = agent.name

    if first then
        local more = math.min(settings.tries, untried) - 1
        if more > 0 then
            balancer.set_more_tries(more)
        end
    end
    use(agent)
end

-- log_by_lua: runs once for every request, however it ended.
function _M.log()
    local var = ngx.var
    local name = var.lb_agent
    if name and name ~= "" then
        pool.release(name)
        local _, earlier = (var.upstream_status or ""):gsub("[,:]", "")
        note_failure(name, earlier + 1)
    end
    metrics.request(name, ngx.status)
end

return _M
