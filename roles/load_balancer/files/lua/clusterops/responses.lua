-- SPDX-License-Identifier: GPL-3.0-or-later
-- Answers of the load balancer itself: JSON, or a short page for a browser.

local cjson = require "cjson.safe"

local _M = {}

local PAGE = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>%d</title></head>"
    .. "<body><h1>%d</h1><p>%s</p></body></html>\n"

function _M.send(status, text)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Cache-Control"] = "no-store"
    ngx.print(text, "\n")
    return ngx.exit(ngx.HTTP_OK)
end

function _M.json(status, value)
    return _M.send(status, cjson.encode(value))
end

function _M.error(status, message)
    return _M.json(status, { error = message })
end

function _M.method_not_allowed(allowed)
    ngx.header["Allow"] = allowed
    return _M.error(405, "Method " .. ngx.req.get_method() .. " is not allowed here; use "
        .. allowed .. ".")
end

-- Whether no try had a connection: nothing was sent, to nobody.
local function nobody_was_reached(var)
    local times = var.upstream_connect_time
    return times ~= nil and times ~= "" and not times:find("%d")
end

-- The answer to a client whose request no agent answered.
function _M.no_answer(retry_after_s)
    local var = ngx.var
    local status, message
    if var.lb_no_agent == "1" then
        status, message = 503, "No agent is in service; try again in a moment."
        ngx.header["Retry-After"] = retry_after_s
    elseif nobody_was_reached(var) then
        status, message = 503, "No agent could be reached; try again in a moment."
        ngx.header["Retry-After"] = retry_after_s
    elseif (var.upstream_status or ""):match("504$") then
        status, message = 504, "The application did not answer in time."
    else
        status, message = 502, "The application could not be reached."
    end
    if (var.http_accept or ""):find("text/html", 1, true) then
        ngx.status = status
        ngx.header["Content-Type"] = "text/html; charset=utf-8"
        ngx.header["Cache-Control"] = "no-store"
        ngx.print(PAGE:format(status, status, message))
        return ngx.exit(ngx.HTTP_OK)
    end
    return _M.error(status, message)
end

return _M
