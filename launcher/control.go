package launcher

// The control protocol is HTTP over the unix socket:
//
//	GET  /status                     Status as JSON
//	POST /processes/{name}/{action}  Done as JSON, when the effect is seen
//	GET  /logs?name=&n=&follow=      text, one line after the other
//	POST /down                       Done as JSON, when every process has ended
//
// Every error is {"error":"<code>","message":"<what a person can do>"}.

// Done is the answer to something that was done.
type Done struct {
	Message string `json:"message"`
}

// problem is the answer to something that was not.
type problem struct {
	Error   string `json:"error"`
	Message string `json:"message"`
}

// Names of the parameters of /logs.
const (
	logsName   = "name"
	logsLines  = "n"
	logsFollow = "follow"
)
