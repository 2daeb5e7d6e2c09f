'use strict';
'require view';
'require form';
'require fs';
'require poll';

// Status, site, consent and blocks of the Slips sensor. Everything shown comes from the running agent; nothing is fetched from elsewhere.

const PROGRAM = '/usr/bin/slips-agent';
const CONF = '/var/run/slips-agent/slips-agent.conf';

function ask(words) {
	return fs.exec(PROGRAM, ['-c', CONF].concat(words));
}

function row(name, value) {
	return E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td left', 'width': '33%' }, name),
		E('td', { 'class': 'td left' }, value)
	]);
}

function shown(result) {
	if (result.code !== 0)
		return E('p', {}, (result.stderr || _('The agent does not run.')).trim());
	const s = JSON.parse(result.stdout);
	const sensing = s.sensing || { ledger: {}, limits: {} };
	const blocks = s.blocking.blocks.map(b => E('li', {},
		'%s: %s (%d s)'.format(b.address, b.reason, b.seconds_left)));
	return E('div', {}, [
		E('table', { 'class': 'table' }, [
			row(_('Link'), s.link.online
				? _('connected to %s').format(s.link.broker) + (s.link.encrypted ? ' (TLS)' : ' ' + _('(NOT ENCRYPTED)'))
				: _('not connected: the broker %s %s').format(s.link.broker, s.link.trouble || '')),
			row(_('Looks at'), (sensing.step || '') + (sensing.cause ? ': ' + sensing.cause : '')),
			row(_('Flows'), '%d / %d'.format(sensing.open || 0, sensing.capacity || 0)),
			row(_('Memory'), '%d KiB / %d KiB'.format(s.memory.resident_kib || 0, sensing.limits.memory_kib || 0)),
			row(_('Reports that wait'), '%d'.format(s.reports.waiting)),
			row(_('Packets seen / dropped'), '%d / %d'.format(sensing.ledger.packets || 0, sensing.ledger.kernel_dropped || 0)),
			row(_('Blocking'), s.blocking.mode)
		]),
		blocks.length ? E('ul', {}, blocks) : E('p', {}, _('Nobody is blocked.'))
	]);
}

return view.extend({
	load: function() {
		return Promise.all([
			L.resolveDefault(ask(['status', '--json']), { code: 1 }),
			L.resolveDefault(ask(['--explain']), { code: 1 })
		]);
	},

	render: function(results) {
		const status = E('div', {}, shown(results[0]));
		const page = results[1].code === 0 ? results[1].stdout : _('Start the agent once to see what leaves the house with your settings.');
		poll.add(() => L.resolveDefault(ask(['status', '--json']), { code: 1 })
			.then(result => status.replaceChildren(shown(result))), 5);

		const m = new form.Map('slips-agent', _('Slips sensor'),
			_('Watches the home network and reports its flows to a Slips collector.'));
		const s = m.section(form.NamedSection, 'main', 'slips-agent');
		s.tab('site', _('Site'));
		s.tab('consent', _('Consent'));
		s.tab('blocks', _('Blocking'));

		s.taboption('site', form.Flag, 'enabled', _('Enabled'));
		s.taboption('site', form.Value, 'interface', _('Interface')).datatype = 'string';
		s.taboption('site', form.Value, 'site', _('Name of the site'));
		s.taboption('site', form.Value, 'sensor', _('Name of this sensor'));
		s.taboption('site', form.Value, 'broker', _('Broker'), _('mqtts://host[:port]'));
		s.taboption('site', form.Value, 'memory_limit', _('Memory (MiB)')).datatype = 'range(4,4096)';
		s.taboption('site', form.Value, 'cpu_limit', _('Processor (percent of a core, 0: all)')).datatype = 'range(0,10000)';

		const text = s.taboption('consent', form.DummyValue, '_page', _('What leaves this house'));
		text.rawhtml = true;
		text.cfgvalue = () => E('pre', { 'style': 'white-space: pre-wrap' }, page);
		const agreed = s.taboption('consent', form.ListValue, 'agreed_version', _('I agree'));
		agreed.value('0', _('no'));
		agreed.value('1', _('yes, to version 1'));
		const addresses = s.taboption('consent', form.ListValue, 'addresses', _('Addresses of devices'));
		addresses.value('plain', _('as they are'));
		addresses.value('pseudonyms', _('pseudonyms; the key stays here'));
		for (const [name, title] of [['names', _('Names of sites, people and devices')], ['application', _('Anything said inside connections')]]) {
			const o = s.taboption('consent', form.Flag, name, title);
			o.default = '1';
			o.rmempty = false;
		}
		const most = s.taboption('consent', form.ListValue, 'most_detail', _('At most'));
		most.value('flows', _('each connection'));
		most.value('features', _('sums per device and hour'));

		const blocking = s.taboption('blocks', form.ListValue, 'blocking', _('Blocking'));
		blocking.value('off', _('off'));
		blocking.value('dry-run', _('only say it'));
		blocking.value('on', _('on'));
		s.taboption('blocks', form.Value, 'never_block', _('Never block'), _('addresses and networks, separated by commas'));
		s.taboption('blocks', form.Flag, 'spare_own_networks', _('Never block own networks'));

		return m.render().then(map => E('div', {}, [E('h3', {}, _('Status')), status, map]));
	}
});
