ardour {
	["type"]    = "EditorAction",
	name        = "Suggest Drums",
	license     = "GPL-3.0-or-later",
	author      = "samplefit",
	description = [[Finds the drum one-shots in your own library that fit what you hear, and puts one on a track at the start of the selected range. Step on with next and previous.]]
}

function action_params ()
	return {
		["do"]      = { title = "suggest, next, previous, or a number from 1", default = "suggest" },
		["state"]   = { title = "samplefit's state folder (samplefit doctor names it)", default = "" },
		["replace"] = { title = "Track to leave out, by name (empty: a selected drum track)", default = "" },
	}
end

function factory (params) return function ()
	local TRACK   = "Suggestion"  -- rename the track to keep its hit: the next press makes a new one
	local WAIT_S  = 8             -- Ardour's windows stand still meanwhile
	local POLL_US = 5000
	local N_HITS  = 8             -- of each type
	local START   = "Start it with: samplefit serve\nTo have it start at login: samplefit service install"
	local WORDS   = {
		{ "kick", "kick" }, { "bass ?drum", "kick" }, { "snare", "snare" }, { "hat", "hihat" }, { "ride", "ride" },
		{ "crash", "crash" }, { "tom", "tom" }, { "clap", "clap" }, { "perc", "percussion" },
	}

	-- Sessions of one name may lie in two folders: what is theirs is kept apart by their path (its FNV-1a, 64 bits).
	local function digest (text)
		local value = 0xcbf29ce484222325
		for i = 1, #text do value = (value ~ text:byte (i)) * 0x100000001b3 end
		return value
	end

	local what   = params["do"]
	local title  = "ardour-" .. Session:name ():gsub ("[^%w_-]", "_"):sub (1, 40)
	local key    = digest (Session:path () .. "/" .. Session:snap_name ())
	local name   = string.format ("%s-%016x", title, key)
	local answer = params["state"] .. "/answers/" .. name
	local place  = params["state"] .. "/" .. name .. ".place"

	local function fail (cause, remedy) error ({ cause = cause, remedy = remedy or "" }, 0) end

	local function tell (cause, remedy, kind)
		LuaDialog.Message ("Suggest Drums: " .. cause, cause .. "\n\n" .. remedy, kind,
			LuaDialog.ButtonType.Close):run ()
	end

	local function slurp (path)
		local file = io.open (path, "rb")
		if not file then return nil end
		local text = file:read ("a")
		file:close ()
		return text
	end

	-- What stays between presses: range start in samples, number of the hit shown, and the session's own file of each
	-- hit imported so far.
	local function write_place (start, shown, imported)
		local lines = { start .. "\t" .. shown }
		for path, own in pairs (imported) do lines[#lines + 1] = own .. "\t" .. path end
		local file = io.open (place, "wb")
		if not file then fail ("cannot write " .. place, "Is the disk full, or the folder not yours?") end
		file:write (table.concat (lines, "\n"), "\n")
		file:close ()
	end

	local function read_place ()
		local text, imported = slurp (place) or "", {}
		local start, shown = text:match ("^(%d+)\t(%d+)\n")
		for own, path in text:gmatch ("\n([^\t\n]+)\t([^\n]+)") do imported[path] = own end
		return math.tointeger (start), math.tointeger (shown), imported
	end

	-- The daemon's hits: the best of each type first, then the second of each.
	local function read_hits (text)
		local hits, codes = {}, { t = "\t", n = "\n", r = "\r", ["\\"] = "\\" }
		for line in text:gmatch ("[^\n]+") do
			local fields = {}
			for field in (line .. "\t"):gmatch ("(.-)\t") do
				fields[#fields + 1] = field:gsub ("\\(.)", codes)
			end
			if fields[1] == "fail" then fail (fields[3]) end
			if tonumber (fields[2]) then
				hits[#hits + 1] = { type = fields[1], rank = tonumber (fields[2]), path = fields[4], row = #hits }
			end
		end
		table.sort (hits, function (a, b)
			if a.rank ~= b.rank then return a.rank < b.rank end
			return a.row < b.row
		end)
		return hits
	end

	-- The selected range, else what the selected regions cover, else the session.
	local function part ()
		local range = Editor:get_selection ().time
		local first, last = range:start_sample (), range:end_sample ()
		if first >= last then
			local found, ends = Editor:get_selection_extents (Temporal.timepos_t (0), Temporal.timepos_t (0))
			if found then first, last = ends[1]:samples (), ends[2]:samples () end
		end
		local whole = Session:locations ():session_range_location ()
		if first >= last and whole then
			first, last = whole:start ():samples (), whole:_end ():samples ()
		end
		if first >= last then
			fail ("nothing is selected, and the session is empty", "Select a range, or record or import something.")
		end
		return first, last
	end

	local function drum_type (track_name)
		for _, pair in ipairs (WORDS) do
			if track_name:lower ():find (pair[1]) then return pair[2] end
		end
	end

	-- The track that the hit is to replace, and its drum type where its name says one.
	local function replaced ()
		if params["replace"] ~= "" then return params["replace"], drum_type (params["replace"]) end
		local selected = {}
		for route in Editor:get_selection ().tracks:routelist ():iter () do
			selected[#selected + 1] = route:name ()
		end
		if #selected == 1 and drum_type (selected[1]) then return selected[1], drum_type (selected[1]) end
	end

	-- Every audible audio track from its playlist through its plugins and fader: one region each.
	local function bounce (first, last, left_out)
		local regions, soloing, n_audio, n_midi = {}, Session:soloing (), 0, 0
		for route in Session:get_tracks ():iter () do
			local track = route:to_track ()
			if not track:isnil () and track:playlist ():n_regions () > 0 then
				if track:to_audio_track ():isnil () then n_midi = n_midi + 1 else n_audio = n_audio + 1 end
			end
			if not track:isnil () and not track:to_audio_track ():isnil () and route:active () and not route:muted ()
			   and (not soloing or route:soloed ()) and route:name () ~= TRACK and route:name () ~= left_out
			   and track:playlist ():n_regions () > 0 and track:bounceable (track:main_outs (), false) then
				local region = track:bounce_range (
					first, last, ARDOUR.InterThreadInfo (), track:main_outs (), false, "samplefit " .. route:name ())
				if region and not region:isnil () then regions[#regions + 1] = region:to_audioregion () end
			end
		end
		if #regions == 0 and n_audio == 0 and n_midi > 0 then
			fail ("there are only MIDI tracks, and these are not heard", "Bounce your instruments to audio tracks first.")
		end
		if #regions == 0 then fail ("no audio track can be heard in this part", "Unmute one, or choose another part.") end
		return regions
	end

	-- The sound files of a region, one a channel.
	local function files_of (region)
		local files = {}
		for channel = 0, region:n_channels () - 1 do
			files[#files + 1] = region:source (channel):to_filesource ():path ()
		end
		return files
	end

	-- Ardour 7 lets no script remove a source (docs/daw.md tells what was tried), so the files of a bounce are cut to
	-- their headers and reopened: they take no room, and Session > Clean-up > Clean-up Unused Sources removes them.
	local function empty (regions)
		local buffer = ARDOUR.DSP.DspShm (1)
		for _, region in ipairs (regions) do
			for channel, path in ipairs (files_of (region)) do
				local head = (slurp (path) or ""):match ("^RIFF.-data")
				local file = head and io.open (path, "wb")
				if file then
					file:write (head:sub (1, 4), string.pack ("<I4", #head - 4), head:sub (9), "\0\0\0\0")
					file:close ()
					region:to_readable ():read (buffer:to_float (0), 0, 1, channel - 1)
				end
			end
			region:set_hidden (true)
		end
	end

	local function daemon ()
		local port = (slurp (params["state"] .. "/daemon.json") or ""):match ('"osc_port": *(%d+)')
		if not port then fail ("samplefit is not running", START) end
		return ARDOUR.LuaOSC.Address ("osc.udp://127.0.0.1:" .. port)
	end

	-- The daemon sums the stems as mono. A track in stereo is heard there as the mean of its sides, and one in mono as
	-- the panner's centre leaves it on each side: 3 dB down. Bounces end before the panner.
	local function ask (samplefit, regions, type_wanted, tempo)
		local id, stems = string.format ("%s-%016x", title, key ~ ARDOUR.LuaAPI.monotonic_time ()), {}
		os.remove (answer .. ".tsv")
		for _, region in ipairs (regions) do
			local files = files_of (region)
			local gain = #files == 1 and math.sqrt (0.5) or 1 / #files
			for channel, path in ipairs (files) do
				stems[#stems + 1] = region:name () .. " " .. channel
				samplefit:send ("/samplefit/stem/file", "ssssf", id, stems[#stems], path, "gain", gain)
			end
		end
		local options = { "answer", name, "tempo", tempo, "k", N_HITS }
		if type_wanted then options[7], options[8] = "type", type_wanted end
		samplefit:send ("/samplefit/suggest", "ssssfsi" .. (type_wanted and "ss" or ""), id, table.unpack (options))
		for _, stem in ipairs (stems) do samplefit:send ("/samplefit/stem/drop", "ss", id, stem) end
	end

	local function wait ()
		for _ = 1, WAIT_S * 1000000 // POLL_US do
			local text = slurp (answer .. ".tsv")
			if text then return text end
			ARDOUR.LuaAPI.usleep (POLL_US)
		end
		fail ("no answer within " .. WAIT_S .. " seconds",
		      "If samplefit is busy, press again in a moment. Else it may have ended. " .. START)
	end

	-- The session's own file that a region begins with, or nil.
	local function own_file (region)
		local source = region:source (0):to_filesource ()
		return not source:isnil () and source:path () or nil
	end

	-- The whole-file region of a hit; imported when it is not in the session yet.
	local function region_of (path, imported)
		local before, files = {}, C.StringVector ()
		for id, region in ARDOUR.RegionFactory.regions ():iter () do
			if imported[path] and region:whole_file () and own_file (region) == imported[path] then return region end
			before[id:to_s ()] = true
		end
		files:push_back (path)
		Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsRegion, ARDOUR.SrcQuality.SrcBest,
			ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
			Temporal.timepos_t (0), ARDOUR.PluginInfo (), ARDOUR.Track (), false)
		for id, made in ARDOUR.RegionFactory.regions ():iter () do
			if not before[id:to_s ()] then
				imported[path] = own_file (made)
				return made
			end
		end
		fail ("Ardour cannot import " .. path, "Is its drive still there?")
	end

	local function track ()
		local route = Session:route_by_name (TRACK)
		if not route:isnil () then return route:to_track () end
		local made = Session:new_audio_track (2, 2, nil, 1, TRACK, ARDOUR.PresentationInfo.max_order,
			ARDOUR.TrackMode.Normal, true)
		return made:front ()
	end

	-- Puts a hit where the press was, and takes the one before away.
	local function insert (whole, start)
		local region = ARDOUR.RegionFactory.clone_region (whole, true, false)
		local playlist = track ():playlist ()
		Session:begin_reversible_command ("Insert Suggestion")
		playlist:to_stateful ():clear_changes ()
		for old in playlist:regions_at (Temporal.timepos_t (start)):iter () do
			if old:position ():samples () == start then playlist:remove_region (old) end
		end
		playlist:add_region (region, Temporal.timepos_t (start), 1, false, 0, 0, false)
		Session:add_stateful_diff_command (playlist:to_statefuldestructible ())
		Session:commit_reversible_command (nil)
	end

	-- Inserts a hit of the last answer: by number, or the next or previous one, round and round.
	local function show (number)
		local start, shown, imported = read_place ()
		if not start then fail ("there is no suggestion yet", "Choose Suggest Drums first.") end
		local hits = read_hits (wait ())
		if #hits == 0 then fail ("no hit", "Add sample folders: samplefit add FOLDER") end
		if number == "next" then number = shown % #hits + 1 end
		if number == "previous" then number = (shown - 2) % #hits + 1 end
		if not hits[number] then fail ("there are only " .. #hits .. " suggestions") end
		insert (region_of (hits[number].path, imported), start)
		write_place (start, number, imported)
	end

	local function suggest ()
		if Session:actively_recording () then fail ("a recording is running", "Stop it first.") end
		local samplefit = daemon ()
		local first, last = part ()
		local left_out, type_wanted = replaced ()
		local regions = bounce (first, last, left_out)
		ask (samplefit, regions, type_wanted,
		     Temporal.TempoMap.read ():quarters_per_minute_at (Temporal.timepos_t (first)))
		local _, _, imported = read_place ()
		write_place (first, 1, imported)
		local answered, problem = pcall (wait)
		empty (regions)
		if not answered then error (problem, 0) end
		show (1)
		local pending = math.tointeger ((slurp (answer .. ".json") or ""):match ('"pending": *(%d+)')) or 0
		if pending > 0 then
			tell ("the library is still being indexed, " .. pending .. " files to go",
			      "These hits come from the one-shots known so far: press again later.", LuaDialog.MessageType.Info)
		end
	end

	local ok, problem = pcall (function ()
		if what == "suggest" then suggest () else show (math.tointeger (what) or what) end
	end)
	if not ok then
		if type (problem) ~= "table" then problem = { cause = tostring (problem), remedy = "This is a bug of samplefit." } end
		tell (problem.cause, problem.remedy, LuaDialog.MessageType.Error)
	end
end end
