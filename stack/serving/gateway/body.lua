-- Changes request bodies as the policy service granted.
-- Runs after ext_authz, which has read the body as one JSON object that is not empty and holds no key written here.
-- Every request waits for this: each call into Envoy costs as much as the rest, so nothing is asked twice.

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
  local granted = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.ext_authz")
  local salt = granted and granted["x-stackproof-salt"]
  if not salt then return end
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or ""
  local edits = granted["x-stackproof-edits"]
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
  if granted["x-stackproof-usage"] == "hide" then
    added = added .. '"stream_options":{"include_usage":true},'
  end
  local length = body:setBytes(added .. string.sub(text, opening + 1))
  local headers = handle:headers()
  if headers:get("content-length") then
    headers:replace("content-length", tostring(length))
  end
end
