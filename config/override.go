package config

import (
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Overrides are the settings that win over the file, besides the environment. Every single value outside lists has an
// environment variable, such as CACHEPROXY_LISTEN for listen and CACHEPROXY_MEMORY_SIZE for memory.size. An empty
// variable counts as unset.
type Overrides struct {
	// Flags are a command's flags: where given, --listen and --admin win over environment and file. nil: no flags.
	Flags *pflag.FlagSet
	// WithoutSecrets checks a configuration in a place without its secrets, such as a pipeline. Variables and files
	// that the configuration fills in, and files of certificates and keys, may be missing, with a warning for each. The
	// Snapshot cannot be served.
	WithoutSecrets bool
}

// flagKeys are the flags that override keys, by key.
var flagKeys = map[string]string{"listen": "listen", "admin.listen": "admin"}

// environmentName is the variable for the key at path, which is a single value outside lists.
func environmentName(path string) string {
	return "CACHEPROXY_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// override puts the values of environment and flags in place of the file's. viper decides which of the two wins. viper
// does not see the file, because viper knows neither lines nor strict decoding.
func (d *decoder) override(p *part, o Overrides, v *viper.Viper) {
	for _, k := range p.keys {
		path := p.at(k.name)
		if k.is.shape == mapping {
			d.override(p.parts[k.name], o, v)
		}
		if k.is.shape != single {
			continue
		}
		source := "environment " + environmentName(path)
		if err := v.BindEnv(path, environmentName(path)); err != nil {
			d.problem("", "bind environment: %w", err)
		}
		if flag := o.flag(flagKeys[path]); flag != nil {
			if err := v.BindPFlag(path, flag); err != nil {
				d.problem("", "bind flags: %w", err)
			}
			if flag.Changed {
				source = "flag --" + flag.Name
			}
		}
		if !v.IsSet(path) { // IsSet is false for a flag that was not given
			continue
		}
		text := v.GetString(path)
		d.places[path] = place{source: source}
		if _, written := d.places[p.path]; !written {
			d.places[p.path] = place{source: source} // problems of missing keys name the source that began the section
		}
		value, ok := d.value(k.is, text, quote(text), path)
		d.store(p, &k, value, ok)
	}
}

func (o Overrides) flag(name string) *pflag.Flag {
	if o.Flags == nil || name == "" {
		return nil
	}
	return o.Flags.Lookup(name)
}
