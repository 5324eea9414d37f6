// What a page's WebRTC connections carry.

/** An init script: keeps the page's peer connections and their channels, for `window.channels()`. */
export function watchChannels() {
  const connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    made = [];

    constructor(...args) {
      super(...args);
      connections.push(this);
      this.addEventListener("datachannel", ({ channel }) => this.made.push(channel));
    }

    createDataChannel(...args) {
      const channel = super.createDataChannel(...args);
      this.made.push(channel);
      return channel;
    }
  };
  window.channels = async () => {
    const all = [];
    for (const connection of connections.filter((each) => each.connectionState === "connected")) {
      const stats = [...(await connection.getStats()).values()].filter(({ type }) => type === "data-channel");
      for (const channel of connection.made) {
        const { id, label, ordered, maxRetransmits, negotiated } = channel;
        const { messagesSent, messagesReceived, bytesReceived } = stats.find((each) => each.dataChannelIdentifier === id && each.label === label) ?? {};
        all.push({ id, label, ordered, maxRetransmits, negotiated, messagesSent, messagesReceived, bytesReceived });
      }
    }
    return all;
  };
}
