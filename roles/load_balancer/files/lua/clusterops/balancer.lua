-- SPDX-License-Identifier: GPL-3.0-or-later
-- Choosing an agent for a request, and counting it there until it has ended.
--
-- nginx asks here for every try. What may be sent a second time is nginx's decision
-- (proxy_next_upstream); an agent that was tried for a request is never tried again for it.

local algorithms = require "clusterops.algorithms"
local balancer = require "ngx.balancer"
local failures = require "clusterops.failures"
local memory = require "clusterops.memory"
local metrics = require "clusterops.metrics"
local pool = require "clusterops.pool"

local _M = {}

-- What peer selection returns to nginx when there is nobody: "no live upstreams", a 502 that
-- responses.lua turns into the right answer.
local NGX_BUSY = -3
local REPICK_LIMIT = 20

-- From best to worst; a worse one is used only if there is nobody better.
local FINE, DOUBTFUL, UNREACHABLE = 0, 1, 2

local random, min = math.random, math.min
local settings

function _M.configure(values)
    settings = values
end

local function standing(slot, now)
    if memory.failing_until[slot] > now then
        return UNREACHABLE
    elseif memory.ejected_until[slot] > now or memory.unhealthy[slot] ~= 0 then
        return DOUBTFUL
    end
    return FINE
end

-- The cheapest of the agents that were not tried. Ties go to a random one, for the search begins
-- at a random place. tried is nil for the first try.
local function cheapest(agents, tried)
    local total = #agents
    if total == 0 then
        return nil
    end
    local now = ngx.now()
    local cost_of = algorithms.cost
    local place = random(total)
    local best, best_cost, best_standing
    for _ = 1, total do
        local agent = agents[place]
        place = place == total and 1 or place + 1
        local slot = agent.slot
        local standing_now = standing(slot, now)
        if (not best or standing_now <= best_standing) and not (tried and tried[agent.name]) then
            local in_flight = memory.in_flight(slot)
            -- One request at a time finds out whether a vanished agent is back, and none that has
            -- waited for another one before: nobody hangs where nobody answers.
            local held = standing_now == UNREACHABLE and memory.vanished_until[slot] > now
                and (tried or in_flight > 0)
            if not held then
                local cost = cost_of(slot, in_flight, now)
                if not best or standing_now < best_standing or cost < best_cost then
                    best, best_cost, best_standing = agent, cost, standing_now
                end
            end
        end
    end
    return best
end

-- Choose and count in one step. An agent that leaves the service between the choice and the count
-- is not used: whoever drains it may already have seen that nothing is in flight. Returns the agent,
-- if there is one, and whether that stands.
local function take(tried)
    local agent = cheapest(pool.in_service(), tried)
    if not agent then
        return nil, true
    end
    memory.acquire(agent.slot)
    if pool.unchanged() then
        return agent, true
    end
    memory.release(agent.slot)
    return nil, false
end

local function choose(tried)
    -- The first time stands nearly always; a loop around it is nothing that LuaJIT compiles well.
    local agent, stands = take(tried)
    if stands then
        return agent
    end
    for _ = 2, REPICK_LIMIT do
        agent, stands = take(tried)
        if stands then
            return agent
        end
    end
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

-- Take a failed try to heart. It failed in connecting when it never had a connection.
local function note_failure(agent, try)
    local status = nth(ngx.var.upstream_status, try)
    if not status or status:byte() ~= 53 then -- 53: the digit 5
        return
    end
    if (status == "502" or status == "504") and nth(ngx.var.upstream_connect_time, try) == "-" then
        failures.note_unreachable(agent, status == "504")
        metrics.connect_failure(agent.name)
    end
    failures.note_error(agent)
end

local function use(agent)
    local ok, err = balancer.set_current_peer(agent.host, agent.port, agent.connections)
    -- Older modules do not know the name, and leave keeping connections to nginx.
    if ok and balancer.enable_keepalive then
        ok, err = balancer.enable_keepalive(settings.keepalive_timeout_s, 0)
    end
    if not ok then
        ngx.log(ngx.ERR, "agent ", agent.name, " at ", agent.address, " cannot be used: ", err)
        return ngx.exit(ngx.ERROR)
    end
end

-- The try before has failed: give back what was counted. Returns the names that were tried.
local function give_back(name)
    local ctx = ngx.ctx
    local tried = ctx.lb_tried
    if not tried then
        tried = {}
        ctx.lb_tried = tried
        ctx.lb_tries = 0
    end
    tried[name] = true
    ctx.lb_tries = ctx.lb_tries + 1
    local agent = pool.agent(name)
    if agent then
        note_failure(agent, ctx.lb_tries)
        memory.release(agent.slot)
    end
    return tried
end

-- balancer_by_lua: called for the first try and for every further one.
function _M.run()
    local var = ngx.var
    local first = not balancer.get_last_failure()
    local tried
    if not first then
        tried = give_back(var.lb_agent)
        var.lb_agent = ""
    end
    local agent = choose(tried)
    if not agent then
        if first then
            var.lb_no_agent = "1"
        end
        return ngx.exit(NGX_BUSY)
    end
    -- A variable, not ngx.ctx: it is still there after nginx's internal redirect to an error page,
    -- so that what was counted is always given back.
    var.lb_agent = agent.name
    if first then
        local more = min(settings.tries, #pool.in_service()) - 1
        if more > 0 then
            balancer.set_more_tries(more)
        end
    end
    return use(agent)
end

-- Seconds until the agent of the last try began to answer.
local function latency()
    local text = ngx.var.upstream_header_time
    return text and tonumber(text:match("[%d.]+$"))
end

-- log_by_lua: runs once for every request, however it ended.
function _M.log()
    local name = ngx.var.lb_agent
    local status = ngx.status
    local agent = name and name ~= "" and pool.agent(name)
    if agent then
        local slot = agent.slot
        memory.release(slot)
        if status >= 500 then
            local _, earlier = (ngx.var.upstream_status or ""):gsub("[,:]", "")
            note_failure(agent, earlier + 1)
        elseif status ~= 499 then -- 499: the client did not wait for the answer
            memory.answered[slot] = memory.answered[slot] + 1
            if memory.errors[slot] ~= 0 then
                memory.errors[slot] = 0
            end
        end
        if algorithms.needs_latency then
            local seconds = latency()
            if seconds then
                algorithms.observe(slot, seconds, ngx.now())
            end
        end
    end
    metrics.request(name, status)
end

return _M
