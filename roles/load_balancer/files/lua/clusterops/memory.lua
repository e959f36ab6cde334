-- SPDX-License-Identifier: GPL-3.0-or-later
-- What changes with every request, as plain numbers that all workers share.
--
-- The master maps it before there are workers; its address is kept in the dictionary, which
-- survives a reload as the master does. Every worker counts in a place of its own, so that nobody
-- has to be locked out, and what a dead worker held is given back by clearing its place. Other
-- fields have no owner: when two workers write one at once, one of the two values stays.
--
-- An agent's place is its slot, given by the pool.

local ffi = require "ffi"

local dict = ngx.shared.clusterops_pool

local _M = {}

local AGENTS = 128
local WORKERS = 128
-- A reload may bring a program that lays the memory out differently: count this up then.
local KEY = "memory:1"
local PROT_READ_WRITE = 3
local MAP_SHARED_ANONYMOUS = 0x21

local LAYOUT = ([[
int kill(int pid, int sig);
int pthread_spin_trylock(volatile int *lock);
int pthread_spin_unlock(volatile int *lock);
void *mmap(void *address, size_t size, int protection, int flags, int fd, long offset);

typedef struct {
    int32_t version[1];               // of the pool: raised after each change
    int32_t workers[1];               // places that were ever in use
    int32_t worker_pid[WORKERS];
    int32_t in_flight[AGENTS * WORKERS];
    double failing_until[AGENTS];     // it could not be reached: passed over until then
    double vanished_until[AGENTS];    // the same, and finding that out cost a time-out
    double ejected_until[AGENTS];     // it answered with errors: passed over until then
    double ramp_from[AGENTS];         // it began to serve; its share grows from then on
    double answered[AGENTS];          // answers that were no error; only that it changes counts
    double latency[AGENTS];           // moving average, seconds
    double latency_at[AGENTS];
    int32_t errors[AGENTS];           // in a row
    int32_t ejections[AGENTS];        // in a row
    int32_t unhealthy[AGENTS];        // 1: its health checks failed
    int32_t checks_failed[AGENTS];    // in a row
    int32_t checks_passed[AGENTS];    // in a row
} clusterops_memory;
]]):gsub("WORKERS", WORKERS):gsub("AGENTS", AGENTS)
ffi.cdef(LAYOUT)

local PER_AGENT = {
    "failing_until", "vanished_until", "ejected_until", "ramp_from", "answered", "latency",
    "latency_at", "errors", "ejections", "unhealthy", "checks_failed", "checks_passed",
}

_M.AGENTS = AGENTS

local in_flight, workers
local own = 0

-- Called in the master, first of all.
function _M.attach()
    local address = dict:get(KEY)
    local memory
    if address then
        memory = ffi.cast("clusterops_memory *", ffi.cast("uintptr_t", address))
    else
        local place = ffi.C.mmap(nil, ffi.sizeof("clusterops_memory"), PROT_READ_WRITE,
            MAP_SHARED_ANONYMOUS, -1, 0)
        if ffi.cast("intptr_t", place) == -1 then
            error("there is no memory for the pool")
        end
        dict:set(KEY, tonumber(ffi.cast("uintptr_t", place)))
        memory = ffi.cast("clusterops_memory *", place)
    end
    in_flight, workers = memory.in_flight, memory.workers
    _M.version, _M.worker_pid = memory.version, memory.worker_pid
    for _, field in ipairs(PER_AGENT) do
        _M[field] = memory[field]
    end
end

-- A new agent begins with nothing that was said of another one.
function _M.clear(slot)
    for _, field in ipairs(PER_AGENT) do
        _M[field][slot] = 0
    end
    for worker = 0, WORKERS - 1 do
        in_flight[slot * WORKERS + worker] = 0
    end
end

-- In flight -------------------------------------------------------------------------------------

function _M.acquire(slot)
    local place = slot * WORKERS + own
    in_flight[place] = in_flight[place] + 1
end

function _M.release(slot)
    local place = slot * WORKERS + own
    in_flight[place] = in_flight[place] - 1
end

function _M.in_flight(slot)
    local first = slot * WORKERS
    -- The loop is for more than two workers: a loop that ends at once would cost more than it does.
    local sum = in_flight[first] + in_flight[first + 1]
    for place = first + 2, first + workers[0] - 1 do
        sum = sum + in_flight[place]
    end
    return sum
end

local barrier = ffi.new("int[1]")

-- What this worker wrote before is seen by all before it reads what follows. Taking a spin lock
-- synchronizes memory (POSIX, "Memory Synchronization"); this one is the worker's own and free.
function _M.synchronize()
    ffi.C.pthread_spin_trylock(barrier)
    ffi.C.pthread_spin_unlock(barrier)
end

-- Workers ---------------------------------------------------------------------------------------

local function clear_worker(worker)
    for slot = 0, AGENTS - 1 do
        in_flight[slot * WORKERS + worker] = 0
    end
end

-- Take a place for this worker, and give back what dead ones held. Called when a worker starts.
function _M.join()
    local pid = ngx.worker.pid()
    local place
    for worker = 0, WORKERS - 1 do
        local holder = _M.worker_pid[worker]
        -- A holder with this worker's id is dead as well.
        local free = holder == 0 or holder == pid or ffi.C.kill(holder, 0) ~= 0
        -- Workers that start at the same time take a place each, and clear a dead one's once.
        if free and dict:add("worker:" .. worker, true, 60) then
            if _M.worker_pid[worker] == holder then
                clear_worker(worker)
                _M.worker_pid[worker] = place and 0 or pid
                place = place or worker
            end
            dict:delete("worker:" .. worker)
        end
        if place and worker >= workers[0] then
            break
        end
    end
    if not place then
        place = WORKERS - 1
        ngx.log(ngx.ERR, "more workers than ", WORKERS, ": two of them count in one place")
    end
    own = place
    if place >= workers[0] then
        workers[0] = place + 1
    end
end

return _M
