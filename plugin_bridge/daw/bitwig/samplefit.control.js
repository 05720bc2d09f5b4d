// Suggest Drums for Bitwig Studio. A controller script hears no audio: export or bounce the part to a file, name that
// file in Studio I/O Panel > samplefit, and press Suggest. The best hit becomes a Sampler at the end of the selected
// track's chain; Next and Previous put another hit in its place.
loadAPI(17);

const N_HITS = 8;
const REPLY_PORT = 7050;
const WAIT_MS = 5000;
const SAMPLER = "Sampler"; // what Bitwig makes of a sound file
const TYPES = ["any", "kick", "snare", "hihat", "ride", "crash", "tom", "clap", "percussion"];

host.defineController("samplefit", "samplefit", "1.0", "6a3f4f0e-52d4-4c65-9d2f-2b1d7f0a7c11", "samplefit");

/** Keeps what an answer says: hits in order of rank, the best of each type first. */
function newAnswer(id) {
  return { id: id, hits: [], shown: -1, ended: false };
}

function addHit(answer, message) {
  answer.hits.push({ rank: message.getInt(1), type: message.getString(3), path: message.getString(5), name: message.getString(6) });
  answer.hits.sort((a, b) => a.rank - b.rank); // stable: types stay in order within a rank
}

function step(answer, by) {
  const n = answer.hits.length;
  answer.shown = answer.shown < 0 ? 0 : (answer.shown + by + n) % n;
  return answer.hits[answer.shown];
}

function init() {
  let answer = newAnswer(0);
  let isOurs = false; // whether the last device of this track is one that we inserted
  const settings = host.getDocumentState();
  const port = host.getPreferences().getNumberSetting("Daemon's port", "samplefit", 1, 65535, 1, "", 7040);
  const bounce = settings.getStringSetting("Bounced file", "samplefit", 512, "");
  const type = settings.getEnumSetting("Type", "samplefit", TYPES, "any");
  const tempo = host.createTransport().tempo().value();
  const track = host.createCursorTrack("samplefit", "samplefit", 0, 0, true);
  const last = track.createCursorDevice("samplefit", "samplefit", 0, CursorDeviceFollowMode.LAST_DEVICE);
  for (const value of [port, bounce, type, tempo, last.name()]) value.markInterested();
  track.position().addValueObserver(() => { isOurs = false; });

  const osc = host.getOscModule();
  const replies = osc.createAddressSpace();
  const daemon = osc.connectToUdpServer("127.0.0.1", Math.round(port.getRaw()), osc.createAddressSpace());
  osc.createUdpServer(REPLY_PORT, replies);
  on("hit", "a hit", (message) => addHit(answer, message));
  on("done", "the end of an answer", () => {
    answer.ended = true;
    insert(0);
  });
  on("fail", "a refusal", (message) => {
    answer.ended = true;
    host.showPopupNotification("samplefit: " + message.getString(3));
  });

  /** What is done with a reply, unless it is to a press before. */
  function on(reply, text, act) {
    replies.registerMethod("/samplefit/" + reply, "*", text, (source, message) => {
      if (message.getInt(0) === answer.id) act(message);
    });
  }

  function suggest() {
    if (!bounce.get()) {
      host.showPopupNotification("samplefit: name the bounced file in the Studio I/O Panel");
      return;
    }
    const asked = newAnswer(answer.id + 1);
    answer = asked;
    daemon.sendMessage(
      "/samplefit/suggest/file", asked.id, bounce.get(),
      "k", N_HITS, "type", type.get(), "tempo", tempo.getRaw(), "reply_port", REPLY_PORT,
    );
    host.scheduleTask(() => {
      if (!asked.ended) host.showPopupNotification("samplefit: no answer; start it with: samplefit serve");
    }, WAIT_MS);
  }

  function insert(by) {
    if (!answer.hits.length) {
      host.showPopupNotification("samplefit: no suggestion yet");
      return;
    }
    const hit = step(answer, by);
    const place = isOurs && last.name().get() === SAMPLER ? last.replaceDeviceInsertionPoint() : track.endOfDeviceChainInsertionPoint();
    place.insertFile(hit.path);
    isOurs = true;
    host.showPopupNotification(`${answer.shown + 1} of ${answer.hits.length}: ${hit.type} ${hit.name}`);
  }

  settings.getSignalSetting("Suggest drums", "samplefit", "Suggest").addSignalObserver(suggest);
  settings.getSignalSetting("Next hit", "samplefit", "Next").addSignalObserver(() => insert(1));
  settings.getSignalSetting("Previous hit", "samplefit", "Previous").addSignalObserver(() => insert(-1));
}

function flush() {}

function exit() {}
