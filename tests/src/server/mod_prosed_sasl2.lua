-- Debian's prosody-modules are newer than its Prosody, 0.12: mod_sasl2, mod_sasl2_sm and mod_sasl2_fast call what only
-- later versions have, and fail. This supplies it. The modules are used as they are, and so is mod_smacks.

local jid_join = require "util.jid".join;

local smacks = module:depends("smacks");
local sessions = module:shared("/*/smacks/resumption-tokens");
local xmlns_sm = "urn:xmpp:sm:3";

module:hook("stream-features", function (event)
	-- mod_sasl2: which version of TLS it is.
	function event.origin.conn:ssl_info() return self:socket():info(); end
	-- mod_sasl2_fast: that the client says who it is. It does not look at the name.
	event.stream = event.stream or { from = "somebody@" .. module.host };
end, 100);

-- mod_sasl2_fast: dates of times with fractions, which Lua 5.4 refuses.
local datetime = require "util.datetime";
local format = datetime.datetime;
function datetime.datetime(time) return format(time and math.floor(time)); end

-- mod_sasl2_fast: an attribute of a child.
local stanza = require "util.stanza".stanza_mt;
function stanza:get_child_attr(name, xmlns, attribute)
	local child = self:get_child(name, xmlns);
	return child and child.attr[attribute];
end

-- mod_sasl2_sm: functions that return an answer. Those of mod_smacks send it, so what they send is held back.
local function hold(session)
	local said = {};
	session.send = function (stanza)
		said[#said + 1] = stanza;
		return true;
	end
	return said;
end

function smacks.do_enable(session, request)
	local send = session.send;
	local said = hold(session);
	smacks.handle_enable(session, request, xmlns_sm);
	session.send = send;
	local answer = said[1];
	if answer.name ~= "enabled" then
		return nil, { type = "cancel", condition = "unexpected-request" };
	end
	return { type = "enabled", id = answer.attr.id, resume_max = answer.attr.max, finish = function () end };
end

function smacks.do_resume(session, request)
	local resumed = sessions[jid_join(session.username, session.host, request.attr.previd)];
	local send = session.send;
	local said = hold(session);
	smacks.handle_resume(session, request, xmlns_sm);
	local answer = table.remove(said, 1);
	if answer.name ~= "resumed" then
		session.send = send;
		local context = { h = tonumber(answer.attr.h) };
		return nil, { type = "cancel", condition = "item-not-found", context = context };
	end
	-- As mod_smacks does it: the old session has the new one's connection.
	resumed.send = send;
	resumed.send.session = resumed;
	resumed.send.filter = resumed.filter;
	-- The modules go on with that session.
	resumed.sasl_handler = session.sasl_handler;
	resumed.client_id = session.client_id;
	resumed.fast_token_request = session.fast_token_request;
	local function finish()
		-- Sent again, not for the first time.
		resumed.resending_unacked = true;
		for _, stanza in ipairs(said) do resumed.send(stanza); end
		resumed.resending_unacked = nil;
	end
	return { type = "resumed", session = resumed, id = answer.attr.previd, finish = finish };
end
