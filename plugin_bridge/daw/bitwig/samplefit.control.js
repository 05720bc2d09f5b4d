// Suggest Drums for Bitwig Studio. A controller script hears no audio: export or bounce the part to a file, name that
// file in Studio I/O Panel > samplefit, and press Suggest. Insert puts the hit at the end of the selected track's chain.
loadAPI(17);

const N_HITS = 8;
host.defineController("samplefit", "samplefit", "1.0", "6a3f4f0e-52d4-4c65-9d2f-2b1d7f0a7c11", "samplefit");

const TYPES = ["any", "kick", "snare", "hihat", "ride", "crash", "tom", "clap", "percussion"];

/** Keeps what an answer says: hits in order of rank, the best of each type first. */
function newAnswer() {
  return { id: 0, hits: [], shown: -1 };
}

function addHit(answer, args) {
  const [id, rank, , type, , path, name] = args;
  if (id !== answer.id) return; // of a press before
  answer.hits.push({ rank, type, path, name });
  answer.hits.sort((a, b) => a.rank - b.rank); // stable: types stay in order within a rank
}

function step(answer, by) {
  if (!answer.hits.length) return null;
  const n = answer.hits.length;
  answer.shown = answer.shown < 0 ? 0 : (answer.shown + by + n) % n;
  return answer.hits[answer.shown];
}

function init() {
  const answer = newAnswer();
  const settings = host.getDocumentState();
  const preferences = host.getPreferences();
  const port = preferences.getNumberSetting("Daemon's port", "samplefit", 1, 65535, 1, "", 7040);
  const replyPort = 7050;
  const bounce = settings.getStringSetting("Bounced file", "samplefit", 512, "");
  const type = settings.getEnumSetting("Type", "samplefit", TYPES, "any");
  const track = host.createCursorTrack("samplefit", "samplefit", 0, 0, true);
  const osc = host.getOscModule();
  const replies = osc.createAddressSpace();

  replies.registerMethod("/samplefit/hit", "*", "a hit", (source, message) => addHit(answer, message.getArguments()));
  replies.registerMethod("/samplefit/done", "*", "the end of an answer", (source, message) => {
    if (message.getArguments()[0] === answer.id) insert(0);
  });
  replies.registerMethod("/samplefit/fail", "*", "a refusal", (source, message) => {
    host.showPopupNotification("samplefit: " + message.getArguments()[3]);
  });
  osc.createUdpServer(replyPort, replies);
  const daemon = osc.connectToUdpServer("127.0.0.1", Math.round(port.getRaw()), osc.createAddressSpace());

  function suggest() {
    if (!bounce.get()) {
      host.showPopupNotification("samplefit: name the bounced file in the Studio I/O Panel");
      return;
    }
    Object.assign(answer, newAnswer(), { id: answer.id + 1 });
    daemon.sendMessage("/samplefit/suggest/file", answer.id, bounce.get(), "k", N_HITS, "type", type.get(), "reply_port", replyPort);
    host.scheduleTask(() => {
      if (!answer.hits.length) host.showPopupNotification("samplefit: no answer; start it with: samplefit serve");
    }, 5000);
  }

  function insert(by) {
    const hit = step(answer, by);
    if (!hit) return;
    track.endOfDeviceChainInsertionPoint().insertFile(hit.path);
    host.showPopupNotification(`${answer.shown + 1} of ${answer.hits.length}: ${hit.type} ${hit.name}`);
  }

  settings.getSignalSetting("Suggest drums", "samplefit", "Suggest").addSignalObserver(suggest);
  settings.getSignalSetting("Next hit", "samplefit", "Next").addSignalObserver(() => insert(1));
  settings.getSignalSetting("Previous hit", "samplefit", "Previous").addSignalObserver(() => insert(-1));
}

function flush() {}

function exit() {}
