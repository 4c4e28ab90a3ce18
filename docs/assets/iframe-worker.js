// Browsers start no worker from file://. There the search runs in a hidden frame that behaves like one.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      this.inside = frame.contentWindow
      window.addEventListener("message", event => {
        if (event.source === this.inside) this.dispatchEvent(new MessageEvent("message", { data: event.data }))
      })
      this.inside.document.write(`<script>postMessage = data => parent.dispatchEvent(
        new MessageEvent("message", { data, source: window }))</script><script src="${url}"></script>`)
      this.inside.document.close()
      this.ready = new Promise(resolve => (this.inside.onload = resolve))
    }
    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
