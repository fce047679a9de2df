// Package logging makes the programs' zap loggers from their settings.
package logging

import (
	"fmt"
	"io"

	"github.com/dengine/dengine/internal/settings"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Config is how a program logs.
type Config struct {
	Level  string // debug, info, warn or error
	Format string // json or console
}

// Default is JSON lines from level info on.
func Default() Config { return Config{Level: "info", Format: "json"} }

// Settings are the settings of c.
func (c *Config) Settings() []settings.Setting {
	return []settings.Setting{
		{Name: "log-level", Usage: "debug, info, warn or error", Value: settings.String(&c.Level)},
		{Name: "log-format", Usage: "json or console", Value: settings.String(&c.Format)},
	}
}

// Validate names the setting that cannot be used.
func (c Config) Validate() error {
	if _, err := zapcore.ParseLevel(c.Level); err != nil {
		return fmt.Errorf("log level %q: want debug, info, warn or error", c.Level)
	}
	if c.Format != "json" && c.Format != "console" {
		return fmt.Errorf("log format %q: want json or console", c.Format)
	}
	return nil
}

// New returns a logger that writes to w.
func New(c Config, w io.Writer) (*zap.Logger, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	ec := zap.NewProductionEncoderConfig()
	ec.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	ec.EncodeDuration = zapcore.StringDurationEncoder
	enc := zapcore.NewJSONEncoder(ec)
	if c.Format == "console" {
		enc = zapcore.NewConsoleEncoder(ec)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}
