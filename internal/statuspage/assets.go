package statuspage

const (
	pathScript = "/status.js"
	pathStyle  = "/status.css"
)
