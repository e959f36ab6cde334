-- SPDX-License-Identifier: GPL-3.0-or-later
-- What happens when nginx starts or reloads, in the master and in each worker.

local admin = require "clusterops.admin"
local balancer = require "clusterops.balancer"
local pool = require "clusterops.pool"

local _M = {}

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
    balancer.configure(settings)
    admin.configure({ configuration = sha1_of(settings.configuration_file) })
    pool.load(settings.state_file)
end

-- init_worker_by_lua
function _M.worker()
    math.randomseed(ngx.now() * 1000 + ngx.worker.pid())
    pool.forget_dead_workers()
end

return _M
