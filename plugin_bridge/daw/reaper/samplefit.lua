-- Suggest Drums for REAPER: renders the time selection, asks samplefit on its command line, shows the hits in a menu
-- and inserts the chosen one on a new track at the start of the selection. A selected track with a drum's name is left
-- out, and its type asked for.

local COMMAND, STATE = "@COMMAND@", "@STATE@"
local N_HITS, WAIT_MS = 8, 30000
local RENDER, NEW_TRACK = 42230, 1  -- "Render project, using the most recent render settings, auto-close"
local WORDS = {
	{ "kick", "kick" }, { "bass ?drum", "kick" }, { "snare", "snare" }, { "hat", "hihat" }, { "ride", "ride" },
	{ "crash", "crash" }, { "tom", "tom" }, { "clap", "clap" }, { "perc", "percussion" },
}
local NUMBERS = {
	RENDER_SETTINGS = 0, RENDER_BOUNDSFLAG = 2, RENDER_CHANNELS = 1, RENDER_SRATE = 44100, RENDER_ADDTOPROJ = 0,
	RENDER_TAILFLAG = 0,
}

local function drum_type (name)
	for _, pair in ipairs (WORDS) do
		if name:lower ():find (pair[1]) then return pair[2] end
	end
end

-- The selected tracks that a drum's name says are being replaced, and the type of the first.
local function replaced ()
	local tracks, wanted = {}, nil
	for i = 0, reaper.CountSelectedTracks (0) - 1 do
		local track = reaper.GetSelectedTrack (0, i)
		local _, name = reaper.GetTrackName (track)
		if drum_type (name) then
			tracks[#tracks + 1], wanted = track, wanted or drum_type (name)
		end
	end
	return tracks, wanted
end

-- The master mix of the time selection as a file; the project's render settings and mutes come back after.
local function render (folder, name, left_out)
	local strings = { RENDER_FILE = folder, RENDER_PATTERN = name, RENDER_FORMAT = "evaw" }
	local old_strings, old_numbers, old_mutes = {}, {}, {}
	for key, value in pairs (strings) do
		local _, old = reaper.GetSetProjectInfo_String (0, key, "", false)
		old_strings[key] = old
		reaper.GetSetProjectInfo_String (0, key, value, true)
	end
	for key, value in pairs (NUMBERS) do
		old_numbers[key] = reaper.GetSetProjectInfo (0, key, 0, false)
		reaper.GetSetProjectInfo (0, key, value, true)
	end
	for i, track in ipairs (left_out) do
		old_mutes[i] = reaper.GetMediaTrackInfo_Value (track, "B_MUTE")
		reaper.SetMediaTrackInfo_Value (track, "B_MUTE", 1)
	end
	reaper.Main_OnCommand (RENDER, 0)
	for i, track in ipairs (left_out) do reaper.SetMediaTrackInfo_Value (track, "B_MUTE", old_mutes[i]) end
	for key, old in pairs (old_numbers) do reaper.GetSetProjectInfo (0, key, old, true) end
	for key, old in pairs (old_strings) do reaper.GetSetProjectInfo_String (0, key, old, true) end
	return folder .. "/" .. name .. ".wav"
end

local function quoted (word) return '"' .. word:gsub ('"', '\\"') .. '"' end

-- JSON's escapes as bytes; a lone surrogate is a byte that is not UTF-8 (PEP 383).
local function unescaped (text)
	text = text:gsub ("\\u(d[89ab]%x%x)\\u(d[c-f]%x%x)", function (high, low)
		local code = 0x10000 + (tonumber (high, 16) - 0xD800) * 0x400 + tonumber (low, 16) - 0xDC00
		return utf8.char (code)
	end)
	text = text:gsub ("\\u(%x%x%x%x)", function (hex)
		local code = tonumber (hex, 16)
		if code >= 0xDC80 and code <= 0xDCFF then return string.char (code - 0xDC00) end
		return utf8.char (code)
	end)
	return (text:gsub ("\\([\"\\/nrt])", { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", n = "\n", r = "\r", t = "\t" }))
end

-- The hits of `samplefit suggest --json`, or nil and what it said.
local function ask (path, wanted, tempo)
	local words = {
		quoted (COMMAND), "suggest", quoted (path), "--json", "-k", tostring (N_HITS), "--state", quoted (STATE),
		"--tempo", (string.format ("%.3f", tempo):gsub (",", ".")),  -- some languages have a decimal comma
	}
	if wanted then
		words[#words + 1] = "--type"
		words[#words + 1] = wanted
	end
	local said = reaper.ExecProcess (table.concat (words, " "), WAIT_MS) or "\nno answer; start it with: samplefit serve"
	local code, text = said:match ("^(%-?%d*)\n(.*)$")
	if code == "0" and text == "" then return nil, "no answer; start it with: samplefit serve" end
	if code ~= "0" then
		return nil, text ~= "" and text or "samplefit refused (code " .. code .. "). To see why, run: samplefit doctor"
	end
	local hits = {}
	for kind, rank, file in text:gmatch ('"type": "(%w+)",%s*"rank": (%d+),.-"path": "(.-[^\\])",%s*"name"') do
		hits[#hits + 1] = { type = kind, rank = tonumber (rank), path = unescaped (file), row = #hits }
	end
	table.sort (hits, function (a, b)
		if a.rank ~= b.rank then return a.rank < b.rank end
		return a.row < b.row
	end)
	return hits
end

local function choose (hits)
	local lines = {}
	for _, hit in ipairs (hits) do
		local name = hit.path:match ("[^/\\]+$"):gsub ("[|#!<>]", " ")
		lines[#lines + 1] = hit.rank .. " " .. hit.type .. "  " .. name
	end
	gfx.init ("samplefit", 0, 0)
	local chosen = gfx.showmenu (table.concat (lines, "|"))
	gfx.quit ()
	return hits[chosen]
end

local function main ()
	local first, last = reaper.GetSet_LoopTimeRange2 (0, false, false, 0, 0, false)
	if first >= last then return "Select a time range first." end
	local left_out, wanted = replaced ()
	local path = render (STATE, "reaper-press", left_out)
	local _, _, tempo = reaper.TimeMap_GetTimeSigAtTime (0, first)
	local hits, problem = ask (path, wanted, tempo)
	os.remove (path)
	if not hits then return problem end
	if #hits == 0 then return "No hit. Add sample folders: samplefit add FOLDER" end
	local hit = choose (hits)
	if not hit then return end
	reaper.Undo_BeginBlock ()
	reaper.SetEditCurPos (first, false, false)
	reaper.InsertMedia (hit.path, NEW_TRACK)
	reaper.Undo_EndBlock ("Insert suggested drum", -1)
end

local problem = main ()
if problem then reaper.MB (problem, "Suggest Drums", 0) end
