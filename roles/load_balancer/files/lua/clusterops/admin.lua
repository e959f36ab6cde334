-- SPDX-License-Identifier: GPL-3.0-or-later
-- The administration interface (loopback only): list, put and delete agents.

local cjson = require "cjson.safe"
local metrics = require "clusterops.metrics"
local pool = require "clusterops.pool"
local responses = require "clusterops.responses"

local _M = {}

local STATES = { in_service = true, draining = true }
local FIELDS = { address = true, state = true, health_path = true }

local configuration, document

function _M.configure(values)
    configuration, document = values.configuration, values.document
end

-- Whether a request only reads; one that does not has its answer already.
local function reads()
    local method = ngx.req.get_method()
    if method == "GET" or method == "HEAD" then
        return true
    end
    responses.method_not_allowed("GET, HEAD")
end

local function valid_name(name)
    return #name <= 63 and name:match("^[a-z0-9][a-z0-9-]*$") and name:sub(-1) ~= "-"
end

local function number_within(text, low, high)
    if not text:match("^%d+$") or (#text > 1 and text:sub(1, 1) == "0") or #text > 5 then
        return false
    end
    local number = tonumber(text)
    return number >= low and number <= high
end

local function valid_address(address)
    local a, b, c, d, port = address:match("^(%d+)%.(%d+)%.(%d+)%.(%d+):(%d+)$")
    if not a or not number_within(port, 1, 65535) then
        return false
    end
    for _, part in ipairs({ a, b, c, d }) do
        if not number_within(part, 0, 255) then
            return false
        end
    end
    return true
end

-- A path that can be asked for as it is: it ends up in the line of a request.
local function valid_path(path)
    return type(path) == "string" and #path <= 255 and path:match("^/[!-~]*$")
        and not path:find("#", 1, true)
end

-- The wanted agent of a request's body, or nil and what is wrong with it.
local function parse(body)
    local value = cjson.decode(body or "")
    if type(value) ~= "table" or (body or ""):match("^%s*{") == nil then
        return nil, 'The body must be a JSON object such as '
            .. '{"address":"10.0.0.101:5000","state":"in_service"}.'
    end
    for field in pairs(value) do
        if not FIELDS[field] then
            return nil, "Unknown field '" .. tostring(field) .. "'; allowed are address, state "
                .. "and health_path."
        end
    end
    if type(value.address) ~= "string" or not valid_address(value.address) then
        return nil, "'address' must be an IPv4 address and a port such as 10.0.0.101:5000."
    end
    if not STATES[value.state] then
        return nil, "'state' must be in_service or draining."
    end
    -- null: no checks any more. Left out: as before.
    if value.health_path == cjson.null then
        value.health_path = false
    elseif value.health_path ~= nil and not valid_path(value.health_path) then
        return nil, "'health_path' must be a path such as /ready, or null for no checks."
    end
    return value
end

local function put(name)
    ngx.req.read_body()
    local wanted, problem = parse(ngx.req.get_body_data())
    if not wanted then
        return responses.error(400, problem)
    end
    local agent, err = pool.put(name, wanted.address, wanted.state, wanted.health_path)
    if not agent then
        ngx.log(ngx.ERR, err)
        return responses.error(500, "The agent was not changed: " .. err)
    end
    return responses.json(200, agent)
end

local function delete(name)
    local agent, err = pool.delete(name)
    if agent == nil then
        ngx.log(ngx.ERR, err)
        return responses.error(500, "The agent was not removed: " .. err)
    end
    if not agent then
        return responses.error(404, "Unknown agent '" .. name .. "'.")
    end
    return responses.json(200, agent)
end

local function get(name)
    local agent = pool.find(name)
    if not agent then
        return responses.error(404, "Unknown agent '" .. name .. "'.")
    end
    return responses.json(200, agent)
end

local METHODS = { GET = get, PUT = put, DELETE = delete }

-- /agents/NAME
function _M.agent(name)
    local handle = METHODS[ngx.req.get_method()]
    if not handle then
        return responses.method_not_allowed("GET, PUT, DELETE")
    end
    if not valid_name(name) then
        return responses.error(400, "An agent's name is lower-case letters, digits and dashes, "
            .. "63 at most, such as agent-1.")
    end
    return handle(name)
end

-- /agents and /lb/status
function _M.list()
    if reads() then
        responses.send(200, '{"agents":' .. pool.encode_list(pool.list()) .. "}")
    end
end

-- /health: also tells which configuration this nginx runs, so that the role can compare.
function _M.health()
    if reads() then
        responses.json(200, {
            service = "load-balancer",
            status = "healthy",
            configuration = configuration,
        })
    end
end

-- /metrics
function _M.metrics()
    if reads() then
        ngx.print(metrics.text())
    end
end

-- /openapi.json
function _M.document()
    if reads() then
        responses.send(200, document)
    end
end

-- What nginx refuses before anybody is asked: odd paths, odd methods.
function _M.malformed()
    if ngx.req.get_method() == "TRACE" then
        return responses.method_not_allowed("GET, PUT, DELETE")
    end
    return responses.error(400, "The request is malformed.")
end

return _M
