-- Reads the usage block of answers, and takes it out of streams whose client did not ask for it. Here only where something counts tokens.

-- Bytes looked at of an answer's end, within its last three pieces: the usage block is the last thing but a handful of
-- nulls or `data: [DONE]`.
local TAIL = 2048

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
    if count then metadata:set("stackproof", name, tonumber(count)) end
  end
end

function envoy_on_response(handle)
  -- Most answers are not counted against a limit: they pass without a look.
  local granted = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.ext_authz")
  local usage = granted and granted["x-stackproof-usage"]
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
