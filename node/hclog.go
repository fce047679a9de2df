package node

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// raftLog hands raft's log lines to zap. Only what raft calls is bridged; the
// rest is a null logger's. Lines that repeat, as those about a dead peer do, are
// thinned out: ten of a kind in ten seconds, then each hundredth.
type raftLog struct {
	hclog.Logger
	log *zap.Logger
}

func newRaftLog(log *zap.Logger) hclog.Logger {
	sampled := zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, 10*time.Second, 10, 100)
	})
	return raftLog{Logger: hclog.NewNullLogger(), log: log.Named("raft").WithOptions(sampled)}
}

func (l raftLog) Trace(msg string, args ...any) { l.log.Debug(msg, fields(args)...) }
func (l raftLog) Debug(msg string, args ...any) { l.log.Debug(msg, fields(args)...) }
func (l raftLog) Info(msg string, args ...any)  { l.log.Info(msg, fields(args)...) }
func (l raftLog) Warn(msg string, args ...any)  { l.log.Warn(msg, fields(args)...) }
func (l raftLog) Error(msg string, args ...any) { l.log.Error(msg, fields(args)...) }

func (l raftLog) Log(level hclog.Level, msg string, args ...any) {
	switch {
	case level <= hclog.Debug:
		l.Debug(msg, args...)
	case level == hclog.Info:
		l.Info(msg, args...)
	case level == hclog.Warn:
		l.Warn(msg, args...)
	default:
		l.Error(msg, args...)
	}
}

func (l raftLog) IsDebug() bool { return l.log.Core().Enabled(zap.DebugLevel) }
func (l raftLog) IsInfo() bool  { return l.log.Core().Enabled(zap.InfoLevel) }
func (l raftLog) IsWarn() bool  { return l.log.Core().Enabled(zap.WarnLevel) }
func (l raftLog) IsError() bool { return l.log.Core().Enabled(zap.ErrorLevel) }

func (l raftLog) With(args ...any) hclog.Logger {
	return raftLog{Logger: l.Logger, log: l.log.With(fields(args)...)}
}

func (l raftLog) Named(name string) hclog.Logger {
	return raftLog{Logger: l.Logger, log: l.log.Named(name)}
}

func (l raftLog) ResetNamed(name string) hclog.Logger { return l.Named(name) }

func fields(args []any) []zap.Field {
	out := make([]zap.Field, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		key, value := fmt.Sprint(args[i]), args[i+1]
		if key == "node" { // ours: the id of the node that logs
			key = "raft_node"
		}
		if f, ok := value.(hclog.Format); ok {
			value = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		if err, ok := value.(error); ok {
			out = append(out, zap.NamedError(key, err))
			continue
		}
		out = append(out, zap.String(key, fmt.Sprint(value)))
	}
	return out
}
