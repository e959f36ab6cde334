-- SPDX-License-Identifier: GPL-3.0-or-later
-- What happens when nginx starts or reloads, in the master and in each worker.

local admin = require "clusterops.admin"
local algorithms = require "clusterops.algorithms"
local balancer = require "clusterops.balancer"
local failures = require "clusterops.failures"
local health_checks = require "clusterops.health_checks"
local memory = require "clusterops.memory"
local metrics = require "clusterops.metrics"
local pool = require "clusterops.pool"
local upstream_sockets = require "clusterops.upstream_sockets"

local _M = {}

local health_check_interval_s

local function sha1_of(path)
    local file = io.open(path, "rb")
    if not file then
        return ""
    end
    local text = file:read("*a")
    file:close()
    return (ngx.sha1_bin(text):gsub(".", function(byte)
        return string.format("%02x", byte:byte())
    end))
end

-- init_by_lua: settings are the role's variables, see nginx.conf.
function _M.master(settings)
    algorithms.configure(settings)
    failures.configure(settings)
    balancer.configure(settings)
    health_checks.configure(settings.health_check)
    upstream_sockets.configure(settings)
    health_check_interval_s = settings.health_check.interval_s
    admin.configure({
        configuration = sha1_of(settings.configuration_file),
        document = settings.document,
    })
    pool.load(settings.state_file)
end

-- Have something done again and again by this worker, until it ends.
local function every(seconds, what, work)
    local ok, err = ngx.timer.every(seconds, function(ending)
        if not ending then
            work()
        end
    end)
    if not ok then
        ngx.log(ngx.ERR, what, " cannot begin: ", err)
    end
end

-- init_worker_by_lua
function _M.worker()
    math.randomseed(ngx.now() * 1000 + ngx.worker.pid())
    memory.join()
    every(1, "counting", metrics.flush)
    every(0.5, "the watch on connections to agents", upstream_sockets.look)
    if health_check_interval_s > 0 then
        every(health_check_interval_s, "checking agents", health_checks.round)
    end
end

-- exit_worker_by_lua
function _M.worker_ends()
    metrics.flush()
end

return _M
