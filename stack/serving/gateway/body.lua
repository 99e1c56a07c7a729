-- Changes request bodies as the policy service granted, reads the usage block of answers, and lets out only headers that say what an answer is.
-- Runs after ext_authz, which has read the body as one JSON object that is not empty and holds no key written here.

local GRANTS = "envoy.filters.http.ext_authz"
local OURS = "stackproof"
-- Bytes looked at of an answer's end, within its last three pieces: the usage block is the last thing but a handful of
-- nulls or `data: [DONE]`.
local TAIL = 2048

local function granted(handle, name)
  local told = handle:streamInfo():dynamicMetadata():get(GRANTS)
  return told and told[name]
end

-- `text` with the edits made, or nil when they are not edits of this text; redaction/edits.py writes them.
local function edited(text, edits)
  local size, count, rest = string.match(edits, "^(%d+) (%d+)(.*)$")
  if tonumber(size) ~= #text then return nil end
  local parts, read, made = {}, 1, 0
  for gap, length, new in string.gmatch(rest, " (%d+) (%d+) (%S+)") do
    local start = read + gap
    parts[#parts + 1] = string.sub(text, read, start - 1)
    parts[#parts + 1] = new
    read, made = start + length, made + 1
  end
  if made ~= tonumber(count) or read > #text + 1 then return nil end
  parts[#parts + 1] = string.sub(text, read)
  return table.concat(parts)
end

function envoy_on_request(handle)
  local salt = granted(handle, "x-stackproof-salt")
  if not salt then return end
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or ""
  local edits = granted(handle, "x-stackproof-edits")
  if edits then
    text = edited(text, edits)
    if not text then
      handle:respond({[":status"] = "403"}, "personal data could not be taken out of the body, so it is not passed on")
      return
    end
  end
  local opening = string.find(text, "{", 1, true)
  if not opening then
    handle:respond({[":status"] = "503"}, "")
    return
  end
  local added = '{"cache_salt":"' .. salt .. '",'
  if granted(handle, "x-stackproof-usage") == "hide" then
    added = added .. '"stream_options":{"include_usage":true},'
  end
  local length = body:setBytes(added .. string.sub(text, opening + 1))
  if handle:headers():get("content-length") then
    handle:headers():replace("content-length", tostring(length))
  end
end

-- The events of `text` without the one that only carries the usage the client did not ask for.
-- A quote inside a JSON text is escaped, so no content can look like these keys.
local function without_usage(text)
  if not string.find(text, '"choices":[]', 1, true) then return text end
  local kept = {}
  for event in string.gmatch(text, "(.-\n\n)") do
    if not (string.find(event, '"choices":[]', 1, true) and string.find(event, '"usage":{', 1, true)) then
      kept[#kept + 1] = event
    end
  end
  return table.concat(kept)
end

-- The last usage block of an answer's end, if any.
local function read_usage(handle, tail)
  local block = string.match(tail, '.*"usage":%s*(%b{})')
  if not block then return end
  local metadata = handle:streamInfo():dynamicMetadata()
  for _, name in ipairs({"prompt_tokens", "completion_tokens"}) do
    local count = string.match(block, '"' .. name .. '":%s*(%d+)')
    if count then metadata:set(OURS, name, tonumber(count)) end
  end
end

-- All that an answer may say of itself. What else an engine adds (its own ids, load, cookies, names of software) stays here.
local TOLD = {
  ["cache-control"] = true, ["connection"] = true, ["content-encoding"] = true, ["content-length"] = true, ["content-type"] = true, ["date"] = true,
  ["retry-after"] = true, ["server"] = true, ["strict-transport-security"] = true, ["transfer-encoding"] = true, ["www-authenticate"] = true,
}

local function without_others(headers)
  local others = {}
  for name in pairs(headers) do
    if not TOLD[name] and string.sub(name, 1, 1) ~= ":" then others[#others + 1] = name end
  end
  for _, name in ipairs(others) do headers:remove(name) end
end

function envoy_on_response(handle)
  without_others(handle:headers())
  -- Most answers are not counted against a limit: they pass without a look.
  local usage = granted(handle, "x-stackproof-usage")
  if not usage then return end
  local hide = usage == "hide"
  local older, old, last, held = "", "", "", ""
  for chunk in handle:bodyChunks() do
    local text = chunk:getBytes(0, chunk:length())
    if #text > 0 then
      older, old, last = old, last, text
    end
    if hide then
      -- Whole events only; an answer always ends with one, and what a broken answer leaves is of no use.
      local all = held .. text
      local whole = string.match(all, "^.*\n\n") or ""
      held = string.sub(all, #whole + 1)
      chunk:setBytes(without_usage(whole))
    end
  end
  read_usage(handle, string.sub(older .. old .. last, -TAIL))
end
