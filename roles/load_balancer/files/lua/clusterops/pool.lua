-- SPDX-License-Identifier: GPL-3.0-or-later
-- The pool: which agents exist, their states, and how many requests each has in flight.
--
-- It lives in shared memory, so that every worker sees a change at once and nothing is reloaded;
-- it survives a reload there, and a restart in a file that is replaced before a change is answered.
--
-- Keys of the dictionary:
--   agents            JSON list of {name, address, state, health_path, generation, slot}
--   version           raised by every change; workers decode "agents" once per version
--   generation        raised for every (re-)entry into service, see balancer.lua
--   lock              held by the worker that changes the pool
-- What changes with every request is in memory.lua, by the agent's slot.

local cjson = require "cjson.safe"
local memory = require "clusterops.memory"

local dict = ngx.shared.clusterops_pool

local _M = {}

local LOCK_LIMIT_S = 5
local LOCK_STEP_S = 0.002

local state_file
local cached_version
local cached_agents, cached_in_service, cached_by_name = {}, {}, {}

-- Empty tables are objects to cjson: a list needs care.
local function encode_list(list)
    if #list == 0 then
        return "[]"
    end
    return cjson.encode(list)
end

_M.encode_list = encode_list

-- Decode the agents of the current version.
local function refresh(version)
    cached_agents = cjson.decode(dict:get("agents") or "[]") or {}
    cached_in_service, cached_by_name = {}, {}
    for _, agent in ipairs(cached_agents) do
        agent.host, agent.port = agent.address:match("^(.+):(%d+)$")
        agent.port = tonumber(agent.port)
        -- Idle connections are kept per entry into service: one from before a machine's power-off,
        -- whose end never arrived, is not used for the machine that came back with its address.
        agent.connections = "g" .. agent.generation
        cached_by_name[agent.name] = agent
        if agent.state == "in_service" then
            cached_in_service[#cached_in_service + 1] = agent
        end
    end
    cached_version = version
end

-- Brings what is cached up to date; "agents" is written before the version.
local function current()
    local version = dict:get("version") or 0
    if version ~= cached_version then
        refresh(version)
    end
    return cached_agents
end

-- The agents that get requests. A worker that sees a change a moment late finds it in unchanged().
function _M.in_service()
    if memory.version[0] ~= cached_version then
        current()
    end
    return cached_in_service
end

-- Whether the pool is still the one of the last call of in_service(); if not, the next call has it.
function _M.unchanged()
    -- Whoever changes the pool raises the version first and looks at the counts then.
    memory.synchronize()
    if memory.version[0] == cached_version then
        return true
    end
    -- The dictionary's version is the one that counts: a worker that dies may leave the other behind.
    local version = dict:get("version") or 0
    if version == cached_version then
        return true
    end
    refresh(version)
    return false
end

-- An agent by its name, also one that was removed and still has requests.
function _M.agent(name)
    if memory.version[0] ~= cached_version then
        current()
    end
    return cached_by_name[name]
end

-- Every agent, also one that was removed and still has requests.
function _M.all()
    return current()
end

-- Reading ---------------------------------------------------------------------------------------

-- Why an agent in service is passed over while there are others, or nil.
local function passed_over(agent)
    local now = ngx.now()
    if agent.state ~= "in_service" then
        return nil
    elseif memory.failing_until[agent.slot] > now then
        return "unreachable"
    elseif memory.unhealthy[agent.slot] ~= 0 then
        return "unhealthy"
    elseif memory.ejected_until[agent.slot] > now then
        return "ejected"
    end
end

local function entry(agent)
    local shape = {
        name = agent.name,
        address = agent.address,
        state = agent.state,
        in_flight = memory.in_flight(agent.slot),
        health_path = agent.health_path,
        passed_over = passed_over(agent),
    }
    if agent.health_path then
        shape.healthy = memory.unhealthy[agent.slot] == 0
    end
    return shape
end

-- What /lb/status shows. An agent that was removed stays listed as "out" until its last request
-- has ended.
function _M.list()
    local shown = {}
    for _, agent in ipairs(current()) do
        local shape = entry(agent)
        if shape.state ~= "out" or shape.in_flight > 0 then
            shown[#shown + 1] = shape
        end
    end
    return shown
end

function _M.find(name)
    for _, shape in ipairs(_M.list()) do
        if shape.name == name then
            return shape
        end
    end
end

-- Changing --------------------------------------------------------------------------------------

local function write_file(agents)
    local kept = {}
    for _, agent in ipairs(agents) do
        if agent.state ~= "out" then
            kept[#kept + 1] = {
                name = agent.name,
                address = agent.address,
                state = agent.state,
                health_path = agent.health_path,
            }
        end
    end
    local temporary = state_file .. ".new"
    local file, err = io.open(temporary, "w")
    if not file then
        return nil, err
    end
    local written
    written, err = file:write('{"agents":', encode_list(kept), "}\n")
    local closed, close_err = file:close()
    if not written or not closed then
        os.remove(temporary)
        return nil, err or close_err
    end
    return os.rename(temporary, state_file)
end

-- One change at a time over all workers. The lock frees itself should its holder die.
local function locked(work)
    local limit = ngx.now() + LOCK_LIMIT_S
    while not dict:add("lock", true, LOCK_LIMIT_S) do
        if ngx.now() > limit then
            return nil, "another change of the pool does not end"
        end
        ngx.sleep(LOCK_STEP_S)
    end
    local ok, result, err = pcall(work)
    dict:delete("lock")
    if not ok then
        return nil, result
    end
    return result, err
end

local function raise_version()
    memory.version[0] = dict:incr("version", 1, 0)
end

local function store(agents)
    local kept = {}
    for _, agent in ipairs(agents) do
        if agent.state ~= "out" or memory.in_flight(agent.slot) > 0 then
            kept[#kept + 1] = {
                name = agent.name,
                address = agent.address,
                state = agent.state,
                health_path = agent.health_path,
                generation = agent.generation,
                slot = agent.slot,
            }
        end
    end
    -- The file first: a change that was answered is never lost, one that cannot be kept is not made.
    local ok, err = write_file(kept)
    if not ok then
        return nil, "the pool cannot be written: " .. tostring(err)
    end
    ok, err = dict:safe_set("agents", encode_list(kept))
    if not ok then
        return nil, "the pool does not fit into its shared memory: " .. tostring(err)
    end
    raise_version()
    return true
end

-- The first slot that no agent has, cleared; nil when there is none.
local function free_slot(agents)
    local used = {}
    for _, agent in ipairs(agents) do
        if agent.slot then
            used[agent.slot] = true
        end
    end
    for slot = 0, memory.AGENTS - 1 do
        if not used[slot] then
            memory.clear(slot)
            return slot
        end
    end
end

local function copy_of(agents)
    local copy = {}
    for i, agent in ipairs(agents) do
        copy[i] = agent
    end
    return copy
end

-- What was found out about an agent does not hold for one that (re-)enters the service.
local function begin_anew(slot)
    memory.failing_until[slot] = 0
    memory.vanished_until[slot] = 0
    memory.ejected_until[slot] = 0
    memory.errors[slot] = 0
    memory.ejections[slot] = 0
    memory.unhealthy[slot] = 0
    memory.checks_failed[slot] = 0
    memory.latency_at[slot] = 0
    memory.ramp_from[slot] = ngx.now()
end

-- Add or change an agent. A health_path of nil keeps the agent's, false takes it away.
-- Returns its entry, or nil and why it could not be kept.
function _M.put(name, address, state, health_path)
    return locked(function()
        local agents = copy_of(current())
        local place = #agents + 1
        local before
        for i, agent in ipairs(agents) do
            if agent.name == name then
                place, before = i, agent
            end
        end
        if health_path == nil then
            health_path = before and before.state ~= "out" and before.health_path
        end
        health_path = health_path or nil
        if before and before.address == address and before.state == state
            and before.health_path == health_path then
            return entry(before)
        end
        local slot = before and before.slot or free_slot(agents)
        if not slot then
            return nil, "the pool has " .. memory.AGENTS .. " agents, and no place for another one"
        end
        local enters = state == "in_service"
            and not (before and before.address == address and before.state == state)
        local generation = before and before.generation
        if not generation or enters then
            generation = dict:incr("generation", 1, 0)
        end
        local agent = {
            name = name,
            address = address,
            state = state,
            health_path = health_path,
            generation = generation,
            slot = slot,
        }
        agents[place] = agent
        local ok, err = store(agents)
        if not ok then
            return nil, err
        end
        if enters then
            begin_anew(slot)
        elseif not health_path then
            memory.unhealthy[slot] = 0
        end
        return entry(agent)
    end)
end

-- Remove an agent. Returns its last entry, false when there is none, or nil and an error.
function _M.delete(name)
    return locked(function()
        local agents = copy_of(current())
        for i, agent in ipairs(agents) do
            if agent.name == name and agent.state ~= "out" then
                local gone = {
                    name = name,
                    address = agent.address,
                    state = "out",
                    generation = agent.generation,
                    slot = agent.slot,
                }
                agents[i] = gone
                local ok, err = store(agents)
                if not ok then
                    return nil, err
                end
                return entry(gone)
            end
        end
        return false
    end)
end

-- Starting --------------------------------------------------------------------------------------

local function read_file(path)
    local file, err, code = io.open(path)
    if not file then
        if code ~= 2 then -- 2: there is no such file, which is how every cluster begins
            ngx.log(ngx.ERR, "the pool starts empty, its file cannot be read: ", err)
        end
        return {}
    end
    local saved = cjson.decode(file:read("*a"))
    file:close()
    if type(saved) ~= "table" or type(saved.agents) ~= "table" then
        ngx.log(ngx.ERR, "the pool starts empty, its file is damaged: ", path)
        return {}
    end
    return saved.agents
end

-- Called in the master before there are workers: no request can meet a pool that is not loaded.
-- After a reload the dictionary is still there and newer than anything else.
function _M.load(path)
    state_file = path
    memory.attach()
    local agents
    if dict:add("loaded", true) then
        agents = read_file(path)
    else
        agents = cjson.decode(dict:get("agents") or "[]") or {}
    end
    local changed = false
    for _, agent in ipairs(agents) do
        -- Without a slot: out of the file, or left by a program that knew none.
        if not agent.slot then
            agent.slot = free_slot(agents)
            agent.generation = dict:incr("generation", 1, 0)
            changed = true
        end
    end
    if changed then
        dict:set("agents", encode_list(agents))
        raise_version()
    else
        memory.version[0] = dict:get("version") or 0
    end
end

return _M
