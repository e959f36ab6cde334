-- SPDX-License-Identifier: GPL-3.0-or-later
-- The pool: which agents exist, their states, and how many requests each has in flight.
--
-- It lives in shared memory, so that every worker sees a change at once and nothing is reloaded;
-- it survives a reload there, and a restart in a file that is replaced before a change is answered.
--
-- Keys of the dictionary:
--   agents            JSON list of {name, address, state, generation}
--   version           raised by every change; workers decode "agents" once per version
--   generation        raised for every (re-)entry into service, see balancer.lua
--   n:NAME            requests in flight on an agent, all workers
--   w:PID:NAME        the same, of one worker: what has to be given back if that worker dies
--   f:NAME            set while an agent is passed over because it could not be reached
--   failing_until     time until which at least one agent is passed over
--   lock              held by the worker that changes the pool

local cjson = require "cjson.safe"
local ffi = require "ffi"

local dict = ngx.shared.clusterops_pool

ffi.cdef "int kill(int pid, int sig);"

local _M = {}

local LOCK_LIMIT_S = 5
local LOCK_STEP_S = 0.002

local state_file
local cached_version
local cached_agents, cached_in_service = {}, {}

-- Empty tables are objects to cjson: a list needs care.
local function encode_list(list)
    if #list == 0 then
        return "[]"
    end
    return cjson.encode(list)
end

_M.encode_list = encode_list

-- The agents as the current version has them: all of them, and those in service.
local function current()
    local version = dict:get("version") or 0
    if version ~= cached_version then
        cached_agents = cjson.decode(dict:get("agents") or "[]") or {}
        cached_in_service = {}
        for _, agent in ipairs(cached_agents) do
            agent.host, agent.port = agent.address:match("^(.+):(%d+)$")
            agent.port = tonumber(agent.port)
            if agent.state == "in_service" then
                cached_in_service[#cached_in_service + 1] = agent
            end
        end
        cached_version = version
    end
    return cached_agents, cached_in_service, version
end

function _M.in_service()
    local _, in_service, version = current()
    return in_service, version
end

function _M.version()
    return dict:get("version") or 0
end

-- In flight -------------------------------------------------------------------------------------

local function count(name, step)
    dict:incr("w:" .. ngx.worker.pid() .. ":" .. name, step, 0)
    return dict:incr("n:" .. name, step, 0)
end

function _M.acquire(name)
    return count(name, 1)
end

function _M.release(name)
    return count(name, -1)
end

function _M.in_flight(name)
    return dict:get("n:" .. name) or 0
end

-- Give back what a dead worker held; called when a worker starts.
function _M.forget_dead_workers()
    local own = ngx.worker.pid()
    for _, key in ipairs(dict:get_keys(0)) do
        local pid, name = key:match("^w:(%d+):(.+)$")
        pid = tonumber(pid)
        -- An old worker with this worker's id is dead as well.
        if pid and (pid == own or ffi.C.kill(pid, 0) ~= 0) then
            -- Several new workers may look at the same time: one of them at a time, so that what
            -- was held is given back once.
            if dict:add("x:" .. key, true, 60) then
                local held = dict:get(key) or 0
                dict:delete(key)
                if held ~= 0 then
                    dict:incr("n:" .. name, -held, 0)
                end
                dict:delete("x:" .. key)
            end
        end
    end
end

-- Agents that could not be reached --------------------------------------------------------------

function _M.mark_failed(name, seconds)
    dict:set("f:" .. name, true, seconds)
    dict:set("failing_until", ngx.now() + seconds, seconds)
end

function _M.any_failing()
    return dict:get("failing_until") ~= nil
end

function _M.is_failing(name)
    return dict:get("f:" .. name) ~= nil
end

-- Reading ---------------------------------------------------------------------------------------

local function entry(agent)
    return {
        name = agent.name,
        address = agent.address,
        state = agent.state,
        in_flight = _M.in_flight(agent.name),
    }
end

-- What /lb/status shows. An agent that was removed stays listed as "out" until its last request
-- has ended.
function _M.list()
    local shown = {}
    for _, agent in ipairs((current())) do
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
            kept[#kept + 1] = { name = agent.name, address = agent.address, state = agent.state }
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

local function store(agents)
    local kept = {}
    for _, agent in ipairs(agents) do
        if agent.state ~= "out" or _M.in_flight(agent.name) > 0 then
            kept[#kept + 1] = {
                name = agent.name,
                address = agent.address,
                state = agent.state,
                generation = agent.generation,
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
    dict:incr("version", 1, 0)
    return true
end

local function copy_of(agents)
    local copy = {}
    for i, agent in ipairs(agents) do
        copy[i] = agent
    end
    return copy
end

-- Add or change an agent. Returns its entry, or nil and why it could not be kept.
function _M.put(name, address, state)
    return locked(function()
        local agents = copy_of((current()))
        local place = #agents + 1
        local before
        for i, agent in ipairs(agents) do
            if agent.name == name then
                place, before = i, agent
            end
        end
        if before and before.address == address and before.state == state then
            return entry(before)
        end
        local generation = before and before.generation
        if not generation or state == "in_service" then
            generation = dict:incr("generation", 1, 0)
        end
        local agent = { name = name, address = address, state = state, generation = generation }
        agents[place] = agent
        local ok, err = store(agents)
        if not ok then
            return nil, err
        end
        if state == "in_service" then
            dict:delete("f:" .. name)
        end
        return entry(agent)
    end)
end

-- Remove an agent. Returns its last entry, false when there is none, or nil and an error.
function _M.delete(name)
    return locked(function()
        local agents = copy_of((current()))
        for i, agent in ipairs(agents) do
            if agent.name == name and agent.state ~= "out" then
                local gone = {
                    name = name,
                    address = agent.address,
                    state = "out",
                    generation = agent.generation,
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

-- Called in the master before there are workers: no request can meet a pool that is not loaded.
-- After a reload the dictionary is still there and newer than anything else.
function _M.load(path)
    state_file = path
    if not dict:add("loaded", true) then
        return
    end
    local file, err, code = io.open(path)
    if not file then
        if code ~= 2 then -- 2: there is no such file, which is how every cluster begins
            ngx.log(ngx.ERR, "the pool starts empty, its file cannot be read: ", err)
        end
        return
    end
    local saved = cjson.decode(file:read("*a"))
    file:close()
    if type(saved) ~= "table" or type(saved.agents) ~= "table" then
        ngx.log(ngx.ERR, "the pool starts empty, its file is damaged: ", path)
        return
    end
    for _, agent in ipairs(saved.agents) do
        agent.generation = dict:incr("generation", 1, 0)
    end
    dict:set("agents", encode_list(saved.agents))
    dict:incr("version", 1, 0)
end

return _M
